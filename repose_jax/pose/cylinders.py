"""A pose as cylinders: trunk, limbs and head of a body that turns (docs/method.md, 5' and 5'')."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from repose_jax.pose.axes import quarter_turn
from repose_jax.pose.head_frame import head_frame
from repose_jax.pose.skeleton import Skeleton
from repose_jax.pose.stature import stature, trunk


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
# A head of its own: from its middle down and up, in half widths.
_DOWN, _UP = 0.5, 0.9
HEAD_DEPTH = 1.3
"""Depth over width of a head of its own."""


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


class Body(NamedTuple):
    """The cylinders of a pose, trunk first.

    Attributes:
      start, end: of their axes, pixels.
      known: how far the pose tells, in [0, 1].
      radius: half widths seen from the front, pixels.
      turn: about their axes, radians.
    """

    start: Float[Array, "*batch parts 2"]
    end: Float[Array, "*batch parts 2"]
    known: Float[Array, "*batch parts"]
    radius: Float[Array, "*batch parts"]
    turn: Float[Array, "*batch parts"]


def body_of(
    pose: Float[Array, "*batch joints 3"], turn: Float[Array, "*batch"], skeleton: Skeleton,
    image_size: tuple[int, int], own_head: bool = False,
) -> Body:
    """The trunk from the hips' middle to the shoulders', the limbs, and a head of its own.

    Args:
      pose: x, y in pixels, visibility.
      turn: which way the trunk faces, radians: 0 the camera, pi / 2 the picture's right.
      skeleton: of the pose.
      image_size: (height, width) of the picture.
      own_head: whether the last cylinder is a head that turns as its own joints tell.
    """
    parts = cylinders(skeleton, own_head)
    torso = trunk(pose, skeleton)
    starts, ends = (pose[..., parts.limbs[:, i], :] for i in range(2))
    known = jnp.concatenate([torso.known[..., None], jnp.minimum(starts[..., 2], ends[..., 2])],
                            axis=-1)
    start = jnp.concatenate([torso.hips[..., None, :], starts[..., :2]], axis=-2)
    end = jnp.concatenate([torso.shoulders[..., None, :], ends[..., :2]], axis=-2)
    height = stature(pose, skeleton, image_size)
    # A limb turns about its own axis with the body as far as it is upright.
    rise = jnp.abs(end - start)[..., 1] / jnp.sqrt(jnp.sum((end - start) ** 2, axis=-1) + 1e-6)
    body = Body(start, end, known, jnp.asarray(parts.radii) * height[..., None], turn[..., None] * rise)
    if not own_head:
        return body
    head = head_frame(pose, turn, height, skeleton)
    up = -head.radius[..., None] * quarter_turn(head.across)
    own = Body(head.centre - _DOWN * up, head.centre + _UP * up, head.known, head.radius, head.turn)
    return Body(*(jnp.concatenate([some, one[..., None, :] if i < 2 else one[..., None]],
                                  axis=-2 if i < 2 else -1)
                  for i, (some, one) in enumerate(zip(body, own, strict=True))))


def with_twins(body: Body, twins: np.ndarray) -> tuple[Body, Bool[Array, "*batch parts"]]:
    """A pose whose missing limbs are those of its other side, where it shows these, and which are."""
    order = np.append(twins, np.arange(len(twins), body.known.shape[-1]))
    twin = Body(body.start[..., order, :], body.end[..., order, :],
                *(part[..., order] for part in (body.known, body.radius, body.turn)))
    taken = (body.known == 0) & (twin.known > 0)
    return Body(*(jnp.where(taken[..., None] if ours.ndim > taken.ndim else taken, theirs, ours)
                  for ours, theirs in zip(body, twin, strict=True))), taken
