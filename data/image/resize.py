"""Brings a picture of any size, with its pose, to the size that a model takes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image


def letterbox(
    image: UInt8[np.ndarray, "height0 width0 3"],
    pose: Float[np.ndarray, "joints 3"] | None,
    size: tuple[int, int],
) -> tuple[UInt8[np.ndarray, "height width 3"], Float[np.ndarray, "joints 3"] | None, str | None]:
    """Resizes a picture to fit a frame, keeping its aspect, and pads the rest with edge colours.

    Args:
      image: the picture.
      pose: x and y in its pixels, or None.
      size: (height, width) of the frame.

    Returns:
      The picture and the pose in the frame, and a sentence that says what was done; None where the
      picture has the size already.
    """
    old, new = image.shape[:2], tuple(size)
    if old == new:
        return image, pose, None
    scale = min(new[0] / old[0], new[1] / old[1])
    inner = tuple(min(n, max(1, round(o * scale))) for o, n in zip(old, new, strict=True))
    top, left = ((n - i) // 2 for n, i in zip(new, inner, strict=True))
    picture = np.asarray(Image.fromarray(image).resize(inner[::-1], Image.Resampling.LANCZOS))
    picture = np.pad(picture, ((top, new[0] - inner[0] - top), (left, new[1] - inner[1] - left),
                               (0, 0)), mode="edge")
    note = f"resized from {old[0]}x{old[1]} to {inner[0]}x{inner[1]}"
    if inner != new:
        note += f" and padded to {new[0]}x{new[1]}"
    return picture, None if pose is None else fit_pose(pose, old, new), note


def fit_pose(pose: Float[np.ndarray, "*batch joints 3"], from_size: tuple[int, int],
             to_size: tuple[int, int]) -> Float[np.ndarray, "*batch joints 3"]:
    """Carries poses along as `letterbox` carries a picture, from (height, width) to another."""
    return _moved(pose, *_fit(from_size, to_size))


def unfit_pose(pose: Float[np.ndarray, "*batch joints 3"], from_size: tuple[int, int],
               to_size: tuple[int, int]) -> Float[np.ndarray, "*batch joints 3"]:
    """Undoes `fit_pose`: poses in the frame `to_size` back to pictures of `from_size`."""
    ratio, offset = _fit(from_size, to_size)
    moved = np.array(pose, np.float32)
    moved[..., :2] = (moved[..., :2] - offset + 0.5) / ratio - 0.5
    moved[..., :2] *= moved[..., 2:] > 0
    return moved


def shifted(pose: Float[np.ndarray, "*batch joints 3"],
            by: tuple[float, float]) -> Float[np.ndarray, "*batch joints 3"]:
    """Poses moved by (x, y); joints that are not known stay where they are."""
    moved = np.array(pose, np.float32)
    moved[..., :2] += np.where(moved[..., 2:] > 0, by, 0)
    return moved


def squeeze(image: UInt8[np.ndarray, "height0 width0 3"],
            size: tuple[int, int]) -> UInt8[np.ndarray, "height width 3"]:
    """Resizes a picture to (height, width) whatever that does to its aspect.

    Pillow's bicubic filter, as NTED, PIDM and CFLD prepare DeepFashion.
    """
    if image.shape[:2] == tuple(size):
        return image
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC))


def squeeze_pose(pose: Float[np.ndarray, "*batch joints 3"], from_size: tuple[int, int],
                 to_size: tuple[int, int]) -> Float[np.ndarray, "*batch joints 3"]:
    """Carries poses along as `squeeze` carries a picture, from (height, width) to another."""
    return _moved(pose, np.array(to_size[::-1]) / from_size[::-1], np.zeros(2))


def _moved(pose, ratio, offset):
    """Poses scaled about the picture's corner, which lies half a pixel off the first centre."""
    moved = np.array(pose, np.float32)
    moved[..., :2] = (moved[..., :2] + 0.5) * ratio - 0.5 + offset
    moved[..., :2] *= moved[..., 2:] > 0
    return moved


def _fit(from_size, to_size):
    """Factor and offset (x, y) of a letterboxed picture."""
    scale = min(to_size[0] / from_size[0], to_size[1] / from_size[1])
    inner = [min(n, max(1, round(o * scale))) for o, n in zip(from_size, to_size, strict=True)]
    offset = [(n - i) // 2 for n, i in zip(to_size, inner, strict=True)]
    ratio = [i / o for i, o in zip(inner, from_size, strict=True)]
    return np.array(ratio[::-1]), np.array(offset[::-1])
