"""A list of the pictures in a folder, one line of JSON each: `manifest.jsonl`.

A line joins the picture's name with what it says of itself and with the SHA-256 of its pixels, by
which a picture is known again when everything else has been taken out of its file. Lines are added as
pictures are written; the last of a name counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.common.files import cannot_write, write_content

NAME = "manifest.jsonl"


def pixels_hash(image: UInt8[np.ndarray, "h w 3"]) -> str:
    """SHA-256 of a picture's size and pixels, whatever file they are in."""
    return hashlib.sha256(f"{image.shape[0]}x{image.shape[1]} ".encode()
                          + np.ascontiguousarray(image).tobytes()).hexdigest()


def read_manifest(path: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """The lines of a list by the names of their pictures; a last line that is torn is left out.

    Raises:
      UserError: it cannot be read, or another line is damaged.
    """
    try:
        lines = pathlib.Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "give a manifest.jsonl") from None
    found = {}
    for number, line in enumerate(lines[:-1], start=1):  # what no newline ends is torn
        try:
            values = json.loads(line)
            found[values["file"]] = values
        except (ValueError, TypeError, KeyError, RecursionError):
            raise UserError(path, f"is damaged in line {number}", "take that line away") from None
    return found


class PictureManifest:
    """The list of a folder, which goes on where it was stopped.

    Raises:
      UserError: there is one that is damaged, or it cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self._path = pathlib.Path(folder) / NAME
        self._lines: dict[str, dict[str, Any]] = {}
        if self._path.exists():
            self._lines = read_manifest(self._path)
            whole = "".join(map(_line, self._lines.values()))
            if whole.encode() != self._path.read_bytes():
                write_content(self._path, whole)

    def __contains__(self, name: str) -> bool:
        return name in self._lines

    def add(self, path: pathlib.Path, details: dict[str, Any]) -> None:
        """Adds a picture that is there.

        Args:
          path: the picture in the folder.
          details: JSON-able, what is told of it.
        """
        content = path.read_bytes()
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        line = {"file": path.name, "sha256": hashlib.sha256(content).hexdigest(),
                "pixels_sha256": pixels_hash(pixels)} | details
        self._lines[path.name] = line
        try:
            with open(self._path, "ab") as file:
                file.write(_line(line).encode())
        except OSError as error:
            raise cannot_write(self._path, error) from None


def _line(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True) + "\n"
