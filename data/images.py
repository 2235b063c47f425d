"""Picture files as arrays."""

from __future__ import annotations

import os

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from repose_jax.errors import UserError

_MEND = "give a readable JPEG or PNG picture"


def read_image(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "height width 3"]:
    """Reads a picture as RGB; UserError where it is missing, empty or corrupt."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except FileNotFoundError:
        raise UserError(path, "does not exist", _MEND) from None
    except Image.DecompressionBombError:
        raise UserError(path, "is too large to be a photo", _MEND) from None
    except (OSError, SyntaxError, ValueError) as error:
        # Pillow reports broken PNG chunks as SyntaxError and broken headers as ValueError.
        raise UserError(path, f"cannot be read as a picture ({error})", _MEND) from None


class FolderImages:
    """Picture i of a folder, checked to have one size; picklable."""

    def __init__(self, folder: str | os.PathLike[str], names: tuple[str, ...],
                 size: tuple[int, int]):
        self._folder, self._names, self._size = os.fspath(folder), names, tuple(size)

    def __call__(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        path = os.path.join(self._folder, self._names[index])
        picture = read_image(path)
        if picture.shape[:2] != self._size:
            height, width = picture.shape[:2]
            raise UserError(
                path, f"is {height}x{width}, the folder's first picture {self._size[0]}x"
                f"{self._size[1]}", "bring all pictures and poses to one size")
        return picture
