"""Which cylinders a skeleton's body consists of (docs/method.md, 5' and 5'')."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from repose_jax.pose.skeleton import Skeleton


class Cylinders(NamedTuple):
    """What a skeleton's body consists of for `turned_flow`: the trunk first, then limbs and head.

    Attributes:
      limbs: joint numbers of the limbs' ends, [limbs, 2].
      radii: of trunk and limbs, parts of the stature, [1 + limbs].
      depths: depth over width, [1 + limbs].
      twins: which of trunk and limbs is whose mirror image, [1 + limbs].
    """

    limbs: np.ndarray
    radii: np.ndarray
    depths: np.ndarray
    twins: np.ndarray


# Half widths as parts of the stature, by a limb's far end (after the renderer's people, clothed).
_RADII = {"knee": 0.045, "ankle": 0.03, "elbow": 0.03, "wrist": 0.022, "nose": 0.05, "head_top": 0.05}
_HEAD = ("nose", "head_top")
_TRUNK_RADIUS, _TRUNK_DEPTH = 0.1, 0.66


@functools.cache
def cylinders(skeleton: Skeleton, own_head: bool = False) -> Cylinders:
    """The limbs that have a thickness; what joins the trunk's corners or the face's joints has none.

    Args:
      skeleton: names the limbs.
      own_head: leave the limb out that ends in the head.
    """
    chosen = [limb for limb in skeleton.limbs
              if _part(limb[1]) in _RADII and not (own_head and _part(limb[1]) in _HEAD)]
    ends = np.array([[skeleton.index(joint) for joint in limb] for limb in chosen], np.int32)
    twins = [ends.tolist().index(limb) for limb in skeleton.flip_order[ends].tolist()]
    return Cylinders(
        ends,
        np.array([_TRUNK_RADIUS] + [_RADII[_part(limb[1])] for limb in chosen], np.float32),
        np.array([_TRUNK_DEPTH] + [1.0] * len(chosen), np.float32),
        np.array([0] + [1 + twin for twin in twins], np.int32))


def _part(joint: str) -> str:
    return joint.removeprefix("left_").removeprefix("right_")
