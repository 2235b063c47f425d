"""Things that stand before a person: plain rectangles and pieces of other pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

# Random erasing (Zhong et al. 2017): from 2 % of the area, sides at most 10 to 3.
LEAST_AREA = 0.02
_ASPECT = 10 / 3


class Box(NamedTuple):
    """Rows top to bottom and columns left to right; the ends are not within."""

    top: int
    left: int
    bottom: int
    right: int


def draw_box(size: tuple[int, int], area: float, rng: np.random.Generator) -> Box:
    """A random box within a picture.

    Args:
      size: (height, width).
      area: the largest share of the picture; the least is `LEAST_AREA`.
    """
    height, width = size
    pixels = rng.uniform(LEAST_AREA, area) * height * width
    aspect = _ASPECT ** rng.uniform(-1, 1)
    # Where a side would be longer than the picture's it is cut, which only makes the box smaller.
    h = int(np.clip(np.sqrt(pixels * aspect), 1, height))
    w = int(np.clip(np.sqrt(pixels / aspect), 1, width))
    top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    return Box(top, left, top + h, left + w)


def occluded(
    image: UInt8[np.ndarray, "height width 3"], box: Box, kind: str,
    other: Callable[[], UInt8[np.ndarray, "height width 3"]], rng: np.random.Generator,
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture with a box pasted on it.

    Args:
      kind: "rectangle" of one random colour, "picture" for a piece of another picture, or "any".
      other: gives another picture of the same size.
    """
    if kind == "any":
        kind = ("rectangle", "picture")[rng.integers(2)]
    h, w = box.bottom - box.top, box.right - box.left
    if kind == "rectangle":
        content = rng.integers(0, 256, 3, np.uint8)
    else:
        top = rng.integers(0, image.shape[0] - h + 1)
        left = rng.integers(0, image.shape[1] - w + 1)
        content = other()[top:top + h, left:left + w]
    covered = image.copy()
    covered[box.top:box.bottom, box.left:box.right] = content
    return covered


def without_hidden(
    pose: Float[np.ndarray, "joints 3"], box: Box
) -> Float[np.ndarray, "joints 3"]:
    """The pose with the joints below a box unknown, all zeros."""
    xy = pose[:, :2]
    hidden = ((xy >= (box.left - 0.5, box.top - 0.5))
              & (xy < (box.right - 0.5, box.bottom - 0.5))).all(1)
    return np.where(hidden[:, None], 0, pose).astype(pose.dtype)
