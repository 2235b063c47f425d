"""A decoded picture as people see it: upright, RGB, 8 bits a channel, on white where transparent."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image

_ORIENTATION = 0x0112
_TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
          4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
          6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
          8: Image.Transpose.ROTATE_90}
#: What Pillow raises over damage: of PNG's chunks SyntaxError, of AVIF RuntimeError, of headers and
#: tags most of the others.
DAMAGE = (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError,
          OverflowError, ZeroDivisionError, RuntimeError, EOFError, MemoryError, struct.error)


def orientation(picture: Image.Image) -> int:
    """How a picture is to be turned, 1 to 8, the one thing that is taken from its EXIF.

    What is no such number, or cannot be read, is 1: as it lies.
    """
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    except DAMAGE:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def shown_size(picture: Image.Image) -> tuple[int, int]:
    """(height, width) of a picture that need not be decoded, after it is turned."""
    # Pillow turns TIFF files by itself, and tells the size that they will have.
    turned = picture.format != "TIFF" and orientation(picture) >= 5
    return picture.size if turned else picture.size[::-1]


def as_rgb(picture: Image.Image) -> Image.Image:
    """A picture as people see it.

    Grey of 16 bits is scaled to 8, as are floats from 0 to 1 and whole numbers beyond 255.

    Raises:
      ValueError: its numbers are of no scale that is known here, or its colours of no known kind.
    """
    # Pillow turns a TIFF when it decodes it, and forgets the orientation.
    picture.load()
    turn = _TURNS.get(orientation(picture))
    if turn is not None:
        picture = picture.transpose(turn)
    if picture.mode == "F" or picture.mode.startswith("I"):
        return Image.fromarray(_grey(picture)).convert("RGB")
    if picture.mode in ("La", "RGBa"):  # colours times opacity
        picture = picture.convert({"La": "LA", "RGBa": "RGBA"}[picture.mode])
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def _grey(picture: Image.Image) -> np.ndarray:
    values = np.asarray(picture).astype(np.float64)
    if not np.isfinite(values).all() or values.min() < 0:
        raise ValueError("it has values below 0 or none that are numbers")
    largest, floats = values.max(), picture.mode == "F"
    if floats and largest <= 1:
        values = values * 255
    elif picture.mode.startswith("I;16") or picture.format == "PNG" or (
            not floats and 255 < largest <= 65535):
        values = values / 257
    elif largest > 255:
        raise ValueError(f"it has values up to {largest:g}, of which the white one is not told")
    return values.round().astype(np.uint8)
