"""What cameras and file formats do to a picture: blur, noise, JPEG."""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFilter

from repose_jax.data.augment.color import to_uint8


def blurred(
    image: UInt8[np.ndarray, "height width 3"], sigma: float
) -> UInt8[np.ndarray, "height width 3"]:
    """A Gaussian blur (Pillow's, by boxes) of a standard deviation in pixels."""
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))


def noisy(
    image: UInt8[np.ndarray, "height width 3"], sigma: float, rng: np.random.Generator
) -> UInt8[np.ndarray, "height width 3"]:
    """Gaussian noise of a standard deviation, 1 from black to white, on each value apart."""
    noise = rng.standard_normal(image.shape, np.float32)
    return to_uint8(image + np.float32(255 * sigma) * noise)


def compressed(
    image: UInt8[np.ndarray, "height width 3"], quality: int
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture after JPEG compression of a quality of 1 to 95, colours at half resolution."""
    content = io.BytesIO()
    Image.fromarray(image).save(content, "JPEG", quality=quality)
    with Image.open(content) as picture:
        return np.asarray(picture)
