"""The skeleton flow of a body that turns (docs/method.md, equations 5', 5'', 36, 39 and 40)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from repose_jax.pose.axes import quarter_turn, rightwards
from repose_jax.pose.body import Body, with_twins
from repose_jax.pose.cells import grid, per_cell, segment_coordinates
from repose_jax.pose.cylinders import cylinders
from repose_jax.pose.head_frame import head_frame
from repose_jax.pose.layers import (
    Seen, arms_of, beside_arms, limb_outline, person_outline, to_outline, uncovered,
    without_hidden_arms)
from repose_jax.pose.limb_match import matched
from repose_jax.pose.skeleton import Skeleton
from repose_jax.pose.stature import stature, trunk

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
# A limb reaches no further than its colour, but as far as this at least: sleeves have patterns.
_SLENDER = 0.7


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
    seen: Seen | None = None,
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
      seen: the picture of the source. Trunk, limbs and head reach no further to either side than it
        shows the person; what an arm before the trunk hides is looked for beside it, and where one
        covers the target's trunk the trunk has no say. Without, bodies are as wide as most people's
        and nothing hides anything.

    Returns:
      As `skeleton_flow`.
    """
    parts = cylinders(skeleton, own_head)
    arms = arms_of(tuple(skeleton.joints[end] for end in parts.limbs[:, 1]))
    there, here = (body_of(pose, turn, skeleton, image_size, own_head)
                   for pose, turn in ((source, source_turn), (target, target_turn)))
    twinned = jnp.zeros_like(there.known, bool)
    if symmetric:
        shown = there if seen is None else without_hidden_arms(there, source_turn, arms)
        there, twinned = with_twins(shown, parts.twins)
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
    reach_there = here.radius * source_wide * scale
    source_radius = per_cell(inside * reach_there)
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
    along = along * per_cell(pairs.stretch)
    if seen is not None:
        around = around * _shown_share(seen, there, reach_there, along, around > 0, solid)
    beside = (source_radius * around
              + per_cell(scale) * (across - share * target_radius))  # loose cloth stays as far out

    distance2, _ = segment_coordinates(points, here.start, here.end)
    distance = jax.nn.relu(jnp.sqrt(distance2 + 1e-6) - per_cell(here.radius * solid))
    weight = per_cell(certain) / (1.0 + distance**2 / reach**2) ** 3
    if seen is not None:
        free = beside_arms(seen, there, source_turn, reach_there[..., 0], beside[..., 0, :, :],
                           along[..., 0, :, :], arms)
        beside, along = (x.at[..., 0, :, :].set(trunk) for x, trunk in zip(
            (beside, along), free, strict=True))
        weight = weight.at[..., 0, :, :].multiply(
            uncovered(here, target_turn, distance2, arms))
    total = jnp.sum(weight, axis=-3) + background

    def moved(axis):
        place = (per_cell(there.start[..., axis]) + along * per_cell(pairs.source_axis[..., axis])
                 + beside * per_cell(source_side[..., axis]))
        return (jnp.sum(weight * (place - points[..., axis]), axis=-3) / total
                / image_size[1 - axis])

    return jnp.stack([moved(0), moved(1)], axis=-1)


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


def _shown_share(seen, body, reach, along, right, solid):
    """How far of `reach` the picture shows the person and, of limbs, the limb's own colour."""
    ends = body.start, body.end, reach
    person = to_outline(person_outline(seen.person, *ends), along, right)
    limb = to_outline(limb_outline(seen.picture, *ends), along, right)
    return jnp.minimum(person, jnp.where(solid[:, None, None] > 0, 1.0, jnp.maximum(limb, _SLENDER)))


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
