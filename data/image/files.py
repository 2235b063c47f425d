"""Picture files as arrays."""

from __future__ import annotations

import abc
import contextlib
import io
import os
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.data.image.modes import DAMAGE, as_rgb, shown_size
from repose_jax.data.image.resize import letterbox

#: Of pictures, wherever a folder of them is read.
SUFFIXES = (".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".gif", ".png")
_MEND = "give a readable JPEG or PNG picture"
# Files of these beginnings, JPEG and PNG, are stored in datasets as they are.
_STORABLE = (b"\xff\xd8\xff", b"\x89PNG\r\n")

MOST_PIXELS = 50_000_000
"""Of a picture that is decoded: a file of 1 KB can claim more and would then cost gigabytes."""

ImageLike = str | os.PathLike[str] | Image.Image | np.ndarray


def is_picture(path: str | os.PathLike[str]) -> bool:
    """Says by its name whether a file is a picture."""
    return os.path.splitext(os.fspath(path))[1].lower() in SUFFIXES


def read_image(path: str | os.PathLike[str],
               content: bytes | None = None) -> UInt8[np.ndarray, "height width 3"]:
    """Reads a picture as RGB, as people see it (see `modes.as_rgb`); of an animation the first frame.

    Args:
      path: the file, also the name that errors carry.
      content: the file's bytes where the caller has them already.

    Raises:
      UserError: where the file is missing, empty, corrupt, or of more than `MOST_PIXELS`.
    """
    with _opened(path, content) as picture:
        return np.asarray(as_rgb(picture))


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str], content: bytes | None = None) -> Iterator[Image.Image]:
    """A picture of which Pillow has read the header; UserError for what is found wrong in the block."""
    try:
        with warnings.catch_warnings():
            # Of damaged tags, which have no influence, and of size, which has a limit of our own.
            warnings.simplefilter("ignore")
            with Image.open(path if content is None else io.BytesIO(content)) as picture:
                _refuse_huge(path, picture)
                yield picture
    except FileNotFoundError:
        raise UserError(path, "does not exist", _MEND) from None
    except Image.UnidentifiedImageError:
        raise UserError(path, "is not a picture", _MEND) from None
    except Image.DecompressionBombError:
        raise UserError(path, "is too large to be a photo", _MEND) from None
    except DAMAGE as error:
        raise UserError(path, f"cannot be read as a picture ({error})", _MEND) from None


def _refuse_huge(where: str | os.PathLike[str], picture: Image.Image) -> None:
    """Raises UserError for a picture, decoded or not, of more than `MOST_PIXELS`."""
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise UserError(where, f"has {height}x{width} pixels", "give a picture of at most "
                        f"{MOST_PIXELS // 10**6} million pixels")


def pixels_of(image: ImageLike, name: str | os.PathLike[str] = "image"
              ) -> UInt8[np.ndarray, "height width 3"]:
    """A picture that a caller gives as a file, as Pillow has it, or as uint8 [height, width, 3].

    Raises:
      UserError: names it `name` where it is none of these; see also `read_image`.
    """
    if isinstance(image, (str, os.PathLike)):
        return read_image(image)
    if isinstance(image, Image.Image):
        _refuse_huge(name, image)
        try:
            image = as_rgb(image)
        except DAMAGE as error:
            raise UserError(name, f"cannot be read as a picture ({error})", _MEND) from None
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise UserError(name, f"is {image.dtype} {image.shape}", "give uint8 [h, w, 3]")
    return image


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a picture file as it is; UserError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise UserError(path, "does not exist", _MEND) from None
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", _MEND) from None


def encode_png(picture: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """A picture as the content of a PNG file."""
    content = io.BytesIO()
    # A photo of 256x176 takes 7 ms instead of 22 with the default level, and 9 % more bytes.
    Image.fromarray(picture).save(content, "PNG", compress_level=3)
    return content.getvalue()


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(height, width) of a picture from its header alone; UserError where it has none."""
    with _opened(path) as picture:
        return shown_size(picture)


def frame_note(path: str | os.PathLike[str]) -> list[str]:
    """A sentence where a file has several frames, of which the first is read; UserError as above."""
    with _opened(path) as picture:
        # MPO are phones' photos with a preview or a second eye behind them.
        frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
    return [f"{os.fspath(path)}: has {frames} frames, of which the first is taken"] * (frames > 1)


def image_sizes(folder: str | os.PathLike[str], names: Sequence[str]) -> np.ndarray:
    """(height, width) of each picture of a folder, [N, 2] int32, from the headers alone."""
    sizes = [image_size(os.path.join(folder, name)) for name in names]
    return np.array(sizes, np.int32).reshape(-1, 2)


class StoredPictures(abc.ABC):
    """Picture i of some files, brought to one size; picklable."""

    @abc.abstractmethod
    def file(self, index: int) -> str:
        """The file that holds picture `index`, perhaps among others."""

    @abc.abstractmethod
    def fitted(self, index: int, picture: UInt8[np.ndarray, "height0 width0 3"]
               ) -> UInt8[np.ndarray, "height width 3"]:
        """Picture `index` in the size; the very array that was given where it has the size."""

    def manner(self) -> str:
        """What `fitted` depends on besides the picture and the size; the same for all pictures."""
        return ""

    def label(self, index: int) -> str:
        """What errors call picture `index`."""
        return self.file(index)

    def content(self, index: int) -> bytes:
        """Picture `index` as it is stored; UserError where it cannot be read."""
        return read_bytes(self.file(index))

    def __call__(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        return self.fitted(index, read_image(self.label(index), self.content(index)))

    def deciding(self, index: int) -> bytes:
        """What decides picture `index` of a size, without decoding it: its file and its fitting."""
        return self.content(index) + self.manner().encode()

    def encoded(self, index: int) -> bytes:
        """Picture `index` as a file's content: a JPEG or PNG of the size as it is stored, else PNG.

        Raises:
          UserError: where it cannot be decoded.
        """
        content = self.content(index)
        stored = read_image(self.label(index), content)
        picture = self.fitted(index, stored)
        as_it_is = picture is stored and content.startswith(_STORABLE)
        return content if as_it_is else encode_png(picture)


class FolderImages(StoredPictures):
    """Picture i of a folder in one size; picklable."""

    def __init__(self, folder: str | os.PathLike[str], names: Sequence[str],
                 size: tuple[int, int], fit: bool):
        """Args:
          folder, names: where the pictures are.
          size: (height, width) that all shall have.
          fit: resize and pad those of another size; otherwise they are refused.
        """
        self._folder, self._names = os.fspath(folder), tuple(names)
        self._size, self._fit = tuple(size), fit

    def file(self, index: int) -> str:
        return os.path.join(self._folder, self._names[index])

    def fitted(self, index: int, picture: UInt8[np.ndarray, "height0 width0 3"]
               ) -> UInt8[np.ndarray, "height width 3"]:
        if picture.shape[:2] == self._size:
            return picture
        if self._fit:
            return letterbox(picture, None, self._size)[0]
        height, width = picture.shape[:2]
        raise UserError(self.file(index), f"is {height}x{width}, the folder's first picture "
                        f"{self._size[0]}x{self._size[1]}", "give the size to bring all to")
