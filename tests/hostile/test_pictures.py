"""Pictures from strangers: a small file must not cost much memory."""

from __future__ import annotations

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.data.image import files
from repose_jax.data.image.files import MOST_PIXELS, image_size, pixels_of, read_image


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of under 100 bytes whose header promises a grey picture of that size."""
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (struct.pack(">I", len(content)) + kind + content
                + struct.pack(">I", zlib.crc32(kind + content)))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b""))


@pytest.mark.parametrize("read", [read_image, image_size])
@pytest.mark.parametrize("size", [(MOST_PIXELS + 1, 1), (10_000, 10_000), (13_000, 13_000)])
def test_a_header_that_claims_too_much_is_refused_before_anything_is_decoded(tmp_path, read, size):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_claiming(*size))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match=rf"bomb.png: has {size[1]}x{size[0]} pixels; "
                                            "give a picture of at most 50 million"):
            read(path)


def test_the_limit_itself_may_be_claimed(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_PIXELS", 100)
    for width in (10, 11):
        Image.new("L", (width, 10)).save(tmp_path / f"{width}.png")
    assert read_image(tmp_path / "10.png").shape == (10, 10, 3)
    with pytest.raises(UserError, match="has 10x11 pixels"):
        read_image(tmp_path / "11.png")


def test_a_picture_that_pillow_has_opened_is_under_the_same_limit(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_claiming(8_000, 8_000))
    with Image.open(path) as picture, pytest.raises(UserError, match="upload: has 8000x8000"):
        pixels_of(picture, "upload")
    assert pixels_of(Image.new("RGB", (3, 2))).shape == (2, 3, 3)
    assert pixels_of(np.zeros((2, 3, 3), np.uint8)).shape == (2, 3, 3)
