"""A picture scaled, turned and shifted, its pose following."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

_TAPS = 2  # pixels that Pillow's bicubic filter reaches out


def draw_affine(
    size: tuple[int, int], scale: float, rotate: float, shift: float, rng: np.random.Generator
) -> Float[np.ndarray, "2 3"]:
    """A random map of pixels (x, y, 1) to (x, y), about the middle of the picture.

    Args:
      size: (height, width).
      scale: factors go from 1 / (1 + scale) to 1 + scale, evenly in their logarithm.
      rotate: largest angle in degrees, either way.
      shift: largest shift, in widths and heights.
    """
    factor = (1 + scale) ** rng.uniform(-1, 1)
    angle = np.deg2rad(rotate * rng.uniform(-1, 1))
    move = shift * rng.uniform(-1, 1, 2) * size[::-1]
    matrix = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (np.array(size[::-1]) - 1) / 2
    return np.concatenate([matrix, (middle + move - matrix @ middle)[:, None]], axis=1)


def moved_pose(
    pose: Float[np.ndarray, "joints 3"], affine: Float[np.ndarray, "2 3"], size: tuple[int, int]
) -> Float[np.ndarray, "joints 3"]:
    """The pose after the map; joints that are unknown or leave the frame become zeros."""
    xy = pose[:, :2] @ affine[:, :2].T + affine[:, 2]
    # Half a pixel beyond the outer pixels' centres is still within the picture.
    inside = ((xy >= -0.5) & (xy <= np.array(size[::-1]) - 0.5)).all(1) & (pose[:, 2] > 0)
    moved = np.concatenate([xy, pose[:, 2:]], axis=1) * inside[:, None]
    return moved.astype(pose.dtype)


def moved_image(
    image: UInt8[np.ndarray, "height width 3"], affine: Float[np.ndarray, "2 3"]
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture after the map, by bicubic interpolation; its edge colours fill what is bared."""
    height, width = image.shape[:2]
    # Pillow asks where a pixel of the result comes from, and counts from the picture's corner.
    back = np.linalg.inv(affine[:, :2])
    start = back @ (-0.5 - affine[:, 2]) + 0.5
    corners = np.array([[x, y] for x in (0, width) for y in (0, height)]) @ back.T + start
    before = np.ceil(np.maximum(0, -corners.min(0))).astype(int) + _TAPS
    after = np.ceil(np.maximum(0, corners.max(0) - (width, height))).astype(int) + _TAPS
    padded = np.pad(image, ((before[1], after[1]), (before[0], after[0]), (0, 0)), mode="edge")
    start = start + before
    coefficients = (*back[0], start[0], *back[1], start[1])
    return np.asarray(Image.fromarray(padded).transform(
        (width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC))
