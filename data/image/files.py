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
from PIL import Image, ImageOps

from repose_jax.common.errors import UserError
from repose_jax.data.image.resize import letterbox

SUFFIXES = (".jpg", ".jpeg", ".png")  # of the pictures of datasets and of published results
_ORIENTATION = 0x0112  # EXIF; from 5 on the picture lies on its side
_MEND = "give a readable JPEG or PNG picture"

MOST_PIXELS = 50_000_000
"""Of a picture that is decoded: a file of 1 KB can claim more and would then cost gigabytes."""

ImageLike = str | os.PathLike[str] | Image.Image | np.ndarray
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")


def is_picture(path: str | os.PathLike[str]) -> bool:
    """Says by its name whether a file is a picture."""
    return os.path.splitext(os.fspath(path))[1].lower() in _SUFFIXES


def read_image(path: str | os.PathLike[str],
               content: bytes | None = None) -> UInt8[np.ndarray, "height width 3"]:
    """Reads a picture as RGB.

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
        with _header(path if content is None else io.BytesIO(content)) as picture:
            _refuse_huge(path, picture)
            yield picture
    except FileNotFoundError:
        raise UserError(path, "does not exist", _MEND) from None
    except Image.UnidentifiedImageError:
        raise UserError(path, "is not a picture", _MEND) from None
    except Image.DecompressionBombError:
        raise UserError(path, "is too large to be a photo", _MEND) from None
    except (OSError, SyntaxError, ValueError) as error:
        # Pillow reports broken PNG chunks as SyntaxError and broken headers as ValueError.
        raise UserError(path, f"cannot be read as a picture ({error})", _MEND) from None


def _header(file: str | os.PathLike[str] | io.BytesIO) -> Image.Image:
    """A picture that is not decoded yet."""
    with warnings.catch_warnings():
        # Pillow warns of pictures that are refused here in a line of our own.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(file)


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
        image = as_rgb(image)
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


def as_rgb(picture: Image.Image) -> Image.Image:
    """A picture as people see it: upright, 8 bits a channel, on white where it is transparent."""
    # Phones store photos lying down with a note to turn them; pose detectors heed it.
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # 16-bit grey, which Pillow would clip rather than scale
        return Image.fromarray((np.asarray(picture) / 257).clip(0, 255).astype(np.uint8)).convert(
            "RGB")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(height, width) of a picture from its header alone; UserError where it has none."""
    with _opened(path) as picture:
        lying = picture.getexif().get(_ORIENTATION, 1) >= 5
        return picture.size if lying else picture.size[::-1]


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
        """Picture `index` as a file's content: as it is stored where it has the size, else PNG.

        Raises:
          UserError: where it cannot be decoded.
        """
        content = self.content(index)
        stored = read_image(self.label(index), content)
        picture = self.fitted(index, stored)
        return content if picture is stored else encode_png(picture)


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
