"""Cuts the surroundings of a box out of a picture."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from repose_jax.pose.people import Box


def framed(box: Box, size: tuple[int, int], margin: float) -> Box:
    """The box of a frame's aspect around a box.

    Args:
      box: what shall be in the frame.
      size: (height, width) of the frame.
      margin: the result is so many times as large as the box, and larger still along the side that
        the aspect asks it of.
    """
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    sides = np.array([box[2] - box[0], box[3] - box[1]]) * margin
    aspect = size[1] / size[0]
    sides = np.maximum(sides, [sides[1] * aspect, sides[0] / aspect])
    return tuple((centre - sides / 2).tolist() + (centre + sides / 2).tolist())


def cut_out(
    image: UInt8[np.ndarray, "height0 width0 3"], box: Box
) -> tuple[UInt8[np.ndarray, "height width 3"], tuple[int, int]]:
    """The pixels in a box; those outside of the picture have the colours of its edge.

    Returns:
      The cut-out, of at least one pixel, and the place (x, y) of its first pixel in the picture.
    """
    left, top = (int(np.floor(edge)) for edge in box[:2])
    right, bottom = (max(int(np.ceil(edge)), start + 1)
                     for edge, start in zip(box[2:], (left, top), strict=True))
    rows = np.arange(top, bottom).clip(0, image.shape[0] - 1)
    columns = np.arange(left, right).clip(0, image.shape[1] - 1)
    return image[rows[:, None], columns], (left, top)
