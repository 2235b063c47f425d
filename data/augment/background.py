"""Another background behind a person."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageFilter

from repose_jax.data.augment.color import to_uint8

KINDS = ("picture", "noise", "gradient")


def draw_background(
    size: tuple[int, int], kind: str, other: Callable[[], UInt8[np.ndarray, "height width 3"]],
    rng: np.random.Generator,
) -> UInt8[np.ndarray, "height width 3"]:
    """A random background of (height, width).

    Args:
      kind: "picture" takes another one, with whoever is in it; "noise" has patches of 1 pixel to
        half the height; "gradient" goes from one colour to another; or "any" of them.
      other: gives another picture of `size`.
    """
    if kind == "any":
        kind = KINDS[rng.integers(len(KINDS))]
    if kind == "picture":
        return other()
    return _noise(size, rng) if kind == "noise" else _gradient(size, rng)


def _noise(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    height, width = size
    cell = (height / 2) ** rng.random()
    cells = (int(np.ceil(height / cell)), int(np.ceil(width / cell)), 3)
    middle, spread = rng.uniform(0, 255, 3), rng.uniform(10, 100)
    grid = to_uint8(middle + spread * rng.standard_normal(cells))
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))


def _gradient(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    height, width = size
    angle, colors = rng.uniform(0, 2 * np.pi), rng.uniform(0, 255, (2, 3)).astype(np.float32)
    y, x = np.ogrid[-1:1:height * 1j, -1:1:width * 1j]
    along = (x * np.cos(angle) + y * np.sin(angle)) / (abs(np.cos(angle)) + abs(np.sin(angle)))
    share = (along.astype(np.float32)[..., None] + 1) / 2
    return to_uint8(colors[0] + share * (colors[1] - colors[0]))


def with_background(
    image: UInt8[np.ndarray, "height width 3"], mask: Bool[np.ndarray, "height width"],
    background: UInt8[np.ndarray, "height width 3"], *, strength: float = 1.0,
    feather: float = 0.0,
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture with another background outside of a mask.

    Args:
      mask: the person. Without any pixel in it the picture is returned as it is, since nothing
        says where the person is.
      strength: how much of the new background shows; at 1 nothing of the old.
      feather: standard deviation of the soft edge, pixels.
    """
    if not mask.any():
        return image
    person = Image.fromarray(mask.astype(np.uint8) * np.uint8(255))
    if feather:
        person = person.filter(ImageFilter.GaussianBlur(feather))
    share = strength * (1 - np.asarray(person, np.float32)[..., None] / 255)
    return to_uint8(image + share * (background.astype(np.float32) - image))
