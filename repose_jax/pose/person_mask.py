"""The mask of a person, from the joints (Ma et al. 2017, PG2), for the masked scores.

Discs are set on both ends of every limb and along it, a radius apart; what lies between them is
closed by a dilation and an erosion with a square of 5 pixels. The limbs are the skeleton's and
those that PG2 adds to fill the trunk and the head. For OpenPose's 18 joints this is, pixel for
pixel, what the script that PG2 was released with describes; it stores masks of radius 4 and 7 for
Market-1501 (128 x 64) and of 4 and 8 for DeepFashion (256 x 256). The scripts of Deformable GANs
and PATN have the same limbs and closing and a radius of 4, but draw rectangles instead of rows of
discs, and a disc on every joint, so that their mask is slightly different.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from repose_jax.pose.skeleton import Skeleton

RADIUS = 4
_CLOSING = 5
_FILLING = (
    ("right_hip", "left_hip"), ("left_hip", "left_shoulder"), ("right_hip", "right_shoulder"),
    ("neck", "right_ear"), ("neck", "left_ear"), ("right_ear", "left_ear"))


def mask_limbs(skeleton: Skeleton) -> list[tuple[int, int]]:
    """The limbs that are drawn, as joint numbers: the skeleton's, then PG2's of joints it has."""
    pairs = list(skeleton.limbs)
    seen = {frozenset(pair) for pair in pairs}
    pairs += [pair for pair in _FILLING
              if set(pair) <= set(skeleton.joints) and frozenset(pair) not in seen]
    return [(skeleton.index(a), skeleton.index(b)) for a, b in pairs]


def _centres(start: np.ndarray, end: np.ndarray, radius: int) -> np.ndarray:
    """Where discs are set on a limb, [n, 2], whole pixels (cut, not rounded, as PG2 does)."""
    count = int(np.linalg.norm(end - start) / radius)
    along = np.arange(1, count) / max(count, 1)
    between = start + (end - start) * along[:, None]
    return np.concatenate([start[None], end[None], between]).astype(np.int64)


def _spread(mask: np.ndarray, combine: np.ufunc) -> np.ndarray:
    """Dilation (logical_or) or erosion (logical_and); beyond the border nothing changes it."""
    reach = _CLOSING // 2
    neutral = combine is np.logical_and
    for axis in (1, 2):
        width = [(reach, reach) if axis == a else (0, 0) for a in range(3)]
        padded = np.pad(mask, width, constant_values=neutral)
        windows = np.lib.stride_tricks.sliding_window_view(padded, _CLOSING, axis=axis)
        mask = combine.reduce(windows, axis=-1)
    return mask


def person_mask(
    poses: Float[np.ndarray, "n joints 3"],
    skeleton: Skeleton,
    size: tuple[int, int],
    *,
    radius: int = RADIUS,
) -> Bool[np.ndarray, "n height width"]:
    """Which pixels belong to the person; none where no limb has both joints known.

    Args:
      poses: x and y in pixels of pictures of `size`, visibility.
      skeleton: of the poses.
      size: (height, width).
      radius: half the thickness of a limb, pixels.

    Raises:
      ValueError: for a radius below 1, or poses of another skeleton.
    """
    poses = np.asarray(poses, np.float64)
    if radius < 1:
        raise ValueError(f"the radius must be at least 1 pixel, not {radius}")
    if poses.shape[1:] != (len(skeleton), 3):
        raise ValueError(f"poses of shape {poses.shape} are not of skeleton {skeleton.name}")
    height, width = size
    reach = np.arange(-radius, radius + 1)
    disc = np.argwhere(np.hypot(reach[:, None], reach) <= radius) - radius  # symmetric in x and y
    mask, limbs = np.zeros((len(poses), height, width), bool), mask_limbs(skeleton)
    for number, pose in enumerate(poses):
        drawn = [_centres(pose[a, :2], pose[b, :2], radius) for a, b in limbs
                 if pose[a, 2] > 0 and pose[b, 2] > 0]
        if drawn:
            x, y = (np.concatenate(drawn)[:, None] + disc).reshape(-1, 2).T
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            mask[number, y[inside], x[inside]] = True
    return _spread(_spread(mask, np.logical_or), np.logical_and)
