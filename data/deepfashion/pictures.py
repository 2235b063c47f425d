"""Where the pictures of DeepFashion lie: in folders of JPEG files, or in an LMDB database."""

from __future__ import annotations

import functools
import os
import pathlib
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from repose_jax.common.errors import UserError
from repose_jax.data.deepfashion.names import picture_key
from repose_jax.data.image.files import SUFFIXES, StoredPictures, image_size, read_image
from repose_jax.data.image.resize import squeeze

# In-shop's low resolution: the picture in the middle of a white square.
_PADDED_SIZE, _BORDER = (256, 256), 40
# JPEG's blocks of 16 carry the picture's colours into the border up to column 32.
_SURE_BORDER, _WHITE = 24, 250
_SAMPLE = 32


def find_pictures(root: str | os.PathLike[str], split: str,
                  wanted: set[str]) -> dict[str, list[pathlib.Path]]:
    """Finds the picture files of some keys (`picture_key`).

    Folders are searched in this order: <split>_highres, <split>, <split>_256, img_highres, img,
    and everything below the root; the last only where something is still missing.

    Returns:
      The files of each key that was found; the first is the one to read.
    """
    root = pathlib.Path(root)
    found: dict[str, list[pathlib.Path]] = {}
    for name in (f"{split}_highres", split, f"{split}_256", "img_highres", "img", "."):
        folder = root / name
        if not folder.is_dir() or (name == "." and len(found) == len(wanted)):
            continue
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
                continue
            key = picture_key(path.relative_to(root).as_posix())
            if key in wanted and path not in found.setdefault(key, []):
                found[key].append(path)
    return found


def find_databases(root: str | os.PathLike[str]) -> dict[tuple[int, int], pathlib.Path]:
    """The LMDB folders named H-W below a root, by (height, width)."""
    found = {}
    for path in sorted(pathlib.Path(root).glob("*-*/data.mdb")):
        if size := re.fullmatch(r"(\d+)-(\d+)", path.parent.name):
            found[int(size[1]), int(size[2])] = path.parent
    return found


def white_border(paths: Sequence[pathlib.Path], *, skip_broken: bool = False) -> int:
    """Columns of white at either side of In-shop's low-resolution pictures: 40, else 0.

    Those are 256x256 and show the person in columns 40 to 216. The pictures of an LMDB folder or
    of a program may be 256x256 as well, but squeezed; so a sample of them is looked at. Those that
    cannot be read do not count if `skip_broken`.
    """
    border = 0
    for path in [paths[i] for i in np.linspace(0, len(paths) - 1, _SAMPLE).astype(int)]:
        try:
            if image_size(path) != _PADDED_SIZE:
                return 0
            picture = read_image(path)
        except UserError:
            if not skip_broken:
                raise
            continue
        if min(picture[:, :_SURE_BORDER].min(), picture[:, -_SURE_BORDER:].min()) < _WHITE:
            return 0
        border = _BORDER
    return border


class FilePictures(StoredPictures):
    """Picture i of a list of files, squeezed to one size; picklable."""

    def __init__(self, paths: Sequence[pathlib.Path], size: tuple[int, int], border: int):
        """Args:
          paths: the files.
          size: (height, width) to give.
          border: columns to cut off at either side first.
        """
        self._paths, self._size, self._border = tuple(paths), tuple(size), border

    def file(self, index: int) -> str:
        return os.fspath(self._paths[index])

    def manner(self) -> str:
        return f"without {self._border} columns at either side"

    def fitted(self, index: int, picture: UInt8[np.ndarray, "height0 width0 3"]
               ) -> UInt8[np.ndarray, "height width 3"]:
        if self._border:
            picture = picture[:, self._border:-self._border]
        return squeeze(picture, self._size)


@functools.cache
def _environment(folder: str, process: int):
    """The database, opened once a process: it may be neither opened twice nor inherited."""
    try:
        import lmdb
    except ImportError:
        raise UserError(folder, "is an LMDB database, and the package lmdb is not installed",
                        "pip install lmdb") from None
    try:
        opened = lmdb.open(folder, readonly=True, lock=False, readahead=False, meminit=False)
    except lmdb.Error as error:
        raise UserError(folder, f"cannot be opened as an LMDB database ({error})",
                        "prepare it anew, or take it away") from None
    # The file is mapped into memory; to touch what is not there would kill the process.
    needed = (opened.info()["last_pgno"] + 1) * opened.stat()["psize"]
    there = os.path.getsize(os.path.join(folder, "data.mdb"))
    if there < needed:
        opened.close()
        raise UserError(folder, f"is cut short: {there:,} of {needed:,} bytes are there",
                        "copy or prepare it anew")
    return opened


class DatabasePictures(StoredPictures):
    """Picture i of a list of names in an LMDB folder, squeezed to one size; picklable.

    As NTED and PIDM write it: the key is the name in the list of pairs with the ending .png, the
    value a PNG of the folder's size; the key "length" holds a count.
    """

    def __init__(self, folder: pathlib.Path, names: Sequence[str], size: tuple[int, int]):
        """Args:
          folder: holds data.mdb.
          names: of the pictures as the list of pairs has them.
          size: (height, width) to give.
        """
        self.folder = os.fspath(folder.resolve())
        self.keys = tuple(os.path.splitext(name)[0] + ".png" for name in names)
        self._size = tuple(size)

    def missing(self) -> list[str]:
        """The keys that the database lacks; pictures are not read for this."""
        with _environment(self.folder, os.getpid()).begin(buffers=True) as transaction:
            return [key for key in self.keys if transaction.get(key.encode()) is None]

    def file(self, index: int) -> str:
        return os.path.join(self.folder, "data.mdb")

    def label(self, index: int) -> str:
        return f"{self.folder}: {self.keys[index]}"

    def content(self, index: int) -> bytes:
        key = self.keys[index]
        with _environment(self.folder, os.getpid()).begin() as transaction:
            content = transaction.get(key.encode())
        if content is None:
            raise UserError(self.folder, f"has no {key}", "prepare it anew")
        return content

    def original(self, index: int) -> UInt8[np.ndarray, "height0 width0 3"]:
        """Picture i in the size that the database has."""
        return read_image(self.label(index), self.content(index))

    def fitted(self, index: int, picture: UInt8[np.ndarray, "height0 width0 3"]
               ) -> UInt8[np.ndarray, "height width 3"]:
        return squeeze(picture, self._size)
