"""The skeleton flow of a body that turns (docs/method.md, equations 5', 5'' and 36)."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from repose_jax.pose.axes import quarter_turn, rightwards
from repose_jax.pose.cells import grid, per_cell, segment_coordinates
from repose_jax.pose.head_frame import head_frame
from repose_jax.pose.limb_match import matched
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
# At the silhouette a cylinder's surface runs away from the eye: the flow stops short of it.
_RIM = 0.97
# The further it turns, the more a point is looked for inside the limb: one that misses shows the place.
_INSET = 0.15
# How much of trunk and of a head of its own counts as their middle, in half widths.
_SOLID = 0.6
# How far a mirrored point must face the camera, to be more than a rim (cosine).
_FACES = 0.7
# A head of its own: from its middle down and up, in half widths, and its depth.
_DOWN, _UP, _HEAD_DEPTH = 0.5, 0.9, 1.3


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


class _Body(NamedTuple):
    """The cylinders of a pose, [*batch, parts], ends with 2 coordinates more.

    Attributes:
      start, end: of their axes, pixels.
      known: whether the pose tells.
      radius: half widths seen from the front, pixels.
      turn: about their axes, radians.
    """

    start: Array
    end: Array
    known: Array
    radius: Array
    turn: Array


def turned_flow(
    source: Float[Array, "*batch joints 3"],
    target: Float[Array, "*batch joints 3"],
    source_turn: Float[Array, "*batch"],
    target_turn: Float[Array, "*batch"],
    skeleton: Skeleton,
    size: tuple[int, int],
    image_size: tuple[int, int],
    *,
    own_head: bool = False,
    symmetric: bool = False,
    spread: float = 0.03,
    background: float = 1e-3,
) -> Float[Array, "*batch h w 2"]:
    """Displacement from each point of the target picture to its origin in the source picture.

    Limbs are cylinders, the trunk an elliptic one: what was in its middle moves towards the rim as the
    body turns. A point that has turned away goes to where it would shine through.

    Args:
      source, target, skeleton, size, image_size, spread, background: as for `skeleton_flow`.
      source_turn, target_turn: which way the trunk faces, radians: 0 the camera, pi / 2 the picture's
        right.
      own_head: the head turns as its own joints tell, and not as the trunk does along a limb from neck
        to nose. The skeleton is one that `has_head_frame`.
      symmetric: a point of the trunk or of a head of its own that has turned away goes to its mirror
        image, left for right, where that faces the camera; a limb that the source does not show, to
        that of the other side.

    Returns:
      As `skeleton_flow`.
    """
    parts = cylinders(skeleton, own_head)
    there, here = (_body(pose, turn, parts, skeleton, image_size, own_head)
                   for pose, turn in ((source, source_turn), (target, target_turn)))
    twinned = jnp.zeros_like(there.known, bool)
    if symmetric:
        there, twinned = _with_twins(there, parts.twins)
    reach = spread * image_size[0]
    pairs = matched(there.start, there.end, here.start, here.end, there.known * here.known, reach)
    scale = jnp.broadcast_to(pairs.scale, here.radius.shape)
    certain, depths, solid = pairs.certain, parts.depths, np.zeros_like(parts.depths)
    solid[0] = _SOLID
    if own_head:  # what tells where it is tells its size too, however short it looks
        head = np.arange(len(depths) + 1) == len(depths)
        scale = jnp.where(head, there.radius / here.radius, scale)
        certain = jnp.where(head, there.known * here.known, certain)
        depths, solid = np.append(depths, _HEAD_DEPTH), np.append(solid, _SOLID)

    source_wide, source_angle = _ellipse(there.turn, depths)
    target_wide, target_angle = _ellipse(here.turn, depths)
    turn = per_cell(source_angle - target_angle)
    inside = 1 - _INSET * jnp.sin((source_angle - target_angle) / 2) ** 2
    source_radius = per_cell(inside * here.radius * source_wide * scale)
    target_radius = per_cell(here.radius * target_wide)

    points = grid(size, image_size)
    source_side, target_side = rightwards(pairs.source_axis), rightwards(pairs.target_axis)
    x, y = (points[..., i] - per_cell(here.start[..., i]) for i in range(2))
    along = x * per_cell(pairs.target_axis[..., 0]) + y * per_cell(pairs.target_axis[..., 1])
    across = x * per_cell(target_side[..., 0]) + y * per_cell(target_side[..., 1])
    share = jnp.clip(across / target_radius, -_RIM, _RIM)
    around, towards = _on_the_rim(share, turn)
    if symmetric:
        # As far around from the middle of the front, on the other side of it.
        mirrored, faces = _on_the_rim(-share, per_cell(source_angle + target_angle))
        hidden = (solid > 0)[:, None, None] & (towards < 0) & (faces > _FACES)
        around = jnp.where(twinned[..., None, None] | hidden, mirrored, around)
    beside = (source_radius * around
              + per_cell(scale) * (across - share * target_radius))  # loose cloth stays as far out
    along = along * per_cell(pairs.stretch)

    distance2, _ = segment_coordinates(points, here.start, here.end)
    distance = jax.nn.relu(jnp.sqrt(distance2 + 1e-6) - per_cell(here.radius * solid))
    weight = per_cell(certain) / (1.0 + distance**2 / reach**2) ** 3
    total = jnp.sum(weight, axis=-3) + background

    def moved(axis):
        place = (per_cell(there.start[..., axis]) + along * per_cell(pairs.source_axis[..., axis])
                 + beside * per_cell(source_side[..., axis]))
        return (jnp.sum(weight * (place - points[..., axis]), axis=-3) / total
                / image_size[1 - axis])

    return jnp.stack([moved(0), moved(1)], axis=-1)


def _body(pose, turn, parts, skeleton, image_size, own_head) -> _Body:
    """The trunk from the hips' middle to the shoulders', the limbs, and a head of its own."""
    torso = trunk(pose, skeleton)
    starts, ends = (pose[..., parts.limbs[:, i], :] for i in range(2))
    known = jnp.concatenate([torso.known[..., None], jnp.minimum(starts[..., 2], ends[..., 2])],
                            axis=-1)
    start = jnp.concatenate([torso.hips[..., None, :], starts[..., :2]], axis=-2)
    end = jnp.concatenate([torso.shoulders[..., None, :], ends[..., :2]], axis=-2)
    height = stature(pose, skeleton, image_size)
    # A limb turns about its own axis with the body as far as it is upright.
    rise = jnp.abs(end - start)[..., 1] / jnp.sqrt(jnp.sum((end - start) ** 2, axis=-1) + 1e-6)
    body = _Body(start, end, known, parts.radii * height[..., None], turn[..., None] * rise)
    if not own_head:
        return body
    head = head_frame(pose, turn, height, skeleton)
    up = -head.radius[..., None] * quarter_turn(head.across)
    own = _Body(head.centre - _DOWN * up, head.centre + _UP * up, head.known, head.radius, head.turn)
    return _Body(*(jnp.concatenate([some, one[..., None, :] if i < 2 else one[..., None]],
                                   axis=-2 if i < 2 else -1)
                   for i, (some, one) in enumerate(zip(body, own, strict=True))))


def _with_twins(body: _Body, twins: np.ndarray) -> tuple[_Body, Array]:
    """A pose whose missing limbs are those of its other side, where it shows these, and which are."""
    order = np.append(twins, np.arange(len(twins), body.known.shape[-1]))
    twin = _Body(body.start[..., order, :], body.end[..., order, :],
                 *(part[..., order] for part in (body.known, body.radius, body.turn)))
    taken = (body.known == 0) & (twin.known > 0)
    return _Body(*(jnp.where(taken[..., None] if ours.ndim > taken.ndim else taken, theirs, ours)
                   for ours, theirs in zip(body, twin, strict=True))), taken


def _on_the_rim(share, turn):
    """How far across, and how far towards the camera, in half widths, what was `share` across comes to
    lie when it goes around by `turn`."""
    deep = jnp.sqrt(1 - share**2)
    return (share * jnp.cos(turn) + deep * jnp.sin(turn),
            deep * jnp.cos(turn) - share * jnp.sin(turn))


def _ellipse(turn, depth):
    """How wide an elliptic cylinder of half width 1 looks when turned, and how far around its rim the
    middle of its front has gone, radians."""
    side, front = jnp.cos(turn), depth * jnp.sin(turn)
    return jnp.sqrt(side**2 + front**2), jnp.arctan2(front, side)
