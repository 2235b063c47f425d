"""What a model must beat: pictures that anybody could give for the target without any model.

All take and give pictures in [0, 1]. SSIM alone prefers the blurred and the mean picture to real
photos of the same person, which is why no table of this project stands without them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Shaped
from PIL import Image, ImageFilter

COPY = "copy of the source"
BLUR_SIGMA = 6.0


def as_unit(images: Shaped[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Pictures in [0, 1] as float32, from uint8 or from floats that are there already.

    Raises:
      ValueError: for floats outside of [0, 1] (pictures in [-1, 1], say) or not finite.
    """
    images = np.asarray(images)
    if images.dtype == np.uint8:
        return images.astype(np.float32) / 255
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"pictures must be uint8 or floats in [0, 1], not {images.dtype}")
    if images.size and not (images.min() >= -1e-4 and images.max() <= 1 + 1e-4):
        raise ValueError(f"pictures must lie in [0, 1], not [{images.min()}, {images.max()}]")
    return np.clip(images, 0, 1).astype(np.float32)


def mean_image(
    images: Iterable[Shaped[np.ndarray, "height width 3"]],
) -> Float[np.ndarray, "height width 3"]:
    """The mean of pictures (the training split's), summed in float64; ValueError for none."""
    total, count = None, 0
    for image in images:
        image = as_unit(image).astype(np.float64)
        total = image if total is None else total + image
        count += 1
    if total is None:
        raise ValueError("the mean of no picture")
    return (total / count).astype(np.float32)


def blurred(
    images: Shaped[np.ndarray, "n height width 3"], sigma: float = BLUR_SIGMA,
) -> Float[np.ndarray, "n height width 3"]:
    """Pictures blurred by Pillow's GaussianBlur (three box filters, edges extended, uint8).

    The true Gaussian differs in the third digit of the scores.
    """
    eight_bit = (as_unit(images) * 255 + 0.5).astype(np.uint8)
    out = [Image.fromarray(i).filter(ImageFilter.GaussianBlur(sigma)) for i in eight_bit]
    return as_unit(np.stack([np.asarray(image) for image in out]))


def trivial_baselines(
    sources: Shaped[np.ndarray, "n height width 3"],
    mean: Float[np.ndarray, "height width 3"],
) -> dict[str, Float[np.ndarray, "n height width 3"]]:
    """The three baselines by name, for sources in uint8 or [0, 1] and the mean training image."""
    unit = as_unit(sources)
    return {
        COPY: unit,
        "mean training image": np.broadcast_to(as_unit(mean), unit.shape),
        f"source blurred, sigma {BLUR_SIGMA:g}": blurred(sources),
    }
