"""Brings a picture of any size, with its pose, to the size that a model takes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image


class Window(NamedTuple):
    """Where a letterboxed picture lies in its frame, in pixels; `bottom` and `right` are outside."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.bottom - self.top, self.right - self.left

    def margins(self, frame: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Pixels above and below, left and right of it in a frame of (height, width)."""
        return (self.top, frame[0] - self.bottom), (self.left, frame[1] - self.right)

    def cut(self, picture: UInt8[np.ndarray, "height width 3"],
            times: int = 1) -> UInt8[np.ndarray, "height2 width2 3"]:
        """This part of a picture of the frame, or of one `times` as large."""
        top, left, bottom, right = (times * edge for edge in self)
        return picture[top:bottom, left:right]


def window(from_size: tuple[float, float], to_size: tuple[int, int]) -> Window:
    """Where `letterbox` puts a picture of (height, width), or of that ratio, in a frame of another."""
    scale = min(to_size[0] / from_size[0], to_size[1] / from_size[1])
    height, width = (min(n, max(1, round(o * scale)))
                     for o, n in zip(from_size, to_size, strict=True))
    top, left = (to_size[0] - height) // 2, (to_size[1] - width) // 2
    return Window(top, left, top + height, left + width)


def letterbox(
    image: UInt8[np.ndarray, "height0 width0 3"],
    pose: Float[np.ndarray, "joints 3"] | None,
    size: tuple[int, int],
    times: int = 1,
) -> tuple[UInt8[np.ndarray, "height width 3"], Float[np.ndarray, "joints 3"] | None, str | None]:
    """Resizes a picture to fit a frame, keeping its aspect, and pads the rest with edge colours.

    Args:
      image: the picture.
      pose: x and y in its pixels, or None.
      size: (height, width) of the frame.
      times: gives the picture, not the pose, in a frame so many times as large, at the same place.

    Returns:
      The picture and the pose in the frame, and a sentence that says what was done; None where the
      picture has the size already.
    """
    old, new = image.shape[:2], (times * size[0], times * size[1])
    if old == new:
        return image, pose, None
    inner = Window(*(times * edge for edge in window(old, size)))
    picture = np.asarray(Image.fromarray(image).resize(inner.size[::-1], Image.Resampling.LANCZOS))
    picture = np.pad(picture, (*inner.margins(new), (0, 0)), mode="edge")
    note = f"resized from {old[0]}x{old[1]} to {inner.size[0]}x{inner.size[1]}"
    if inner.size != new:
        note += f" and padded to {new[0]}x{new[1]}"
    return picture, None if pose is None else fit_pose(pose, old, size), note


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
    inner = window(from_size, to_size)
    ratio = inner.size[1] / from_size[1], inner.size[0] / from_size[0]
    return np.array(ratio), np.array((inner.left, inner.top))
