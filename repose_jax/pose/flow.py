"""The skeleton flow: where each point of the target pose was in the source pose, in closed form.

Every limb carries the picture around it. A limb that both poses show maps the target's limb onto
the source's: turned with it, stretched along it by the ratio of their lengths, and scaled across it
by the body's overall scale, because a limb that points at the camera is shorter but no thinner. The
limbs' maps are blended by the distance to each limb; far from the body the flow fades to zero.

Ours (docs/method.md, equation 5): the initial flow d_0 of the recurrent pose alignment.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from repose_jax.pose.maps import grid, limb_ends, per_cell, segment_coordinates
from repose_jax.pose.skeleton import Skeleton

_STRETCH = 3.0  # a limb is stretched or shrunk at most this much beyond the body's scale


def skeleton_flow(
    source: Float[Array, "*batch joints 3"],
    target: Float[Array, "*batch joints 3"],
    skeleton: Skeleton,
    size: tuple[int, int],
    image_size: tuple[int, int],
    *,
    spread: float = 0.03,
    background: float = 1e-3,
) -> Float[Array, "*batch h w 2"]:
    """Displacement from each point of the target picture to its origin in the source picture.

    Args:
      source: the source pose, pixels of the picture.
      target: the target pose, pixels of the picture.
      skeleton: names the limbs.
      size: (height, width) of the flow field.
      image_size: (height, width) of the pictures.
      spread: reach of a limb, as a fraction of the picture's height.
      background: weight of "does not move" against a limb's weight, which is 1 on the limb.

    Returns:
      (dx, dy) as fractions of the picture's width and height: the target's point p shows what the
      source has at p + d. Zero where no limb is visible in both poses.
    """
    points = grid(size, image_size)
    source_start, source_end, source_visible = limb_ends(source, skeleton)
    target_start, target_end, target_visible = limb_ends(target, skeleton)
    shared = source_visible * target_visible

    reach = spread * image_size[0]
    pairs = _matched(source_start, source_end, target_start, target_end, shared, reach)

    # Seen from the other side, a person is a mirror image: right of a limb becomes left of it.
    mirrored = jnp.where(
        _facing(source, skeleton) * _facing(target, skeleton) < 0, -1.0, 1.0)[..., None]
    # Each limb's map is affine: p goes to linear @ (p - target_start) + source_start.
    linear = (_outer(pairs.source_axis, pairs.target_axis) * pairs.stretch[..., None, None]
              + _outer(_turn(pairs.source_axis), _turn(pairs.target_axis))
              * (pairs.scale * mirrored)[..., None, None])
    moves = linear - jnp.eye(2)
    shift = source_start - jnp.sum(linear * target_start[..., None, :], axis=-1)

    distance2, _ = segment_coordinates(points, target_start, target_end)
    # A heavy tail: between two limbs both have a say, and a point of the coat that lies outside
    # every limb still moves with the nearest one.
    weight = per_cell(pairs.certain) / (1.0 + distance2 / reach**2) ** 3
    total = jnp.sum(weight, axis=-3) + background
    # The blend of affine maps is an affine map in each cell: six numbers, blended over the limbs.
    blended = jnp.einsum("...lhw,...lij->...ijhw", weight, jnp.concatenate(
        [moves, shift[..., None]], axis=-1))
    moved = (blended[..., 0, :, :] * points[..., 0] + blended[..., 1, :, :] * points[..., 1]
             + blended[..., 2, :, :]) / total[..., None, :, :]
    height, width = image_size
    return jnp.stack([moved[..., 0, :, :] / width, moved[..., 1, :, :] / height], axis=-1)


class _Matched(NamedTuple):
    """Limbs of one pose beside those of the other.

    Attributes:
      source_axis, target_axis: their directions, [*batch, limbs, 2].
      scale: of the body, [*batch, 1].
      stretch: of each limb, kept within `_STRETCH` of the body's, [*batch, limbs].
      certain: how far a limb is known in both, [*batch, limbs].
    """

    source_axis: Array
    target_axis: Array
    scale: Array
    stretch: Array
    certain: Array


def _matched(source_start, source_end, target_start, target_end, shared, reach) -> _Matched:
    """How the source's limbs lie to the target's, by how far both show them."""
    source_limb, target_limb = source_end - source_start, target_end - target_start
    source_length, target_length = (
        jnp.sqrt(jnp.sum(limb**2, axis=-1) + 1e-6) for limb in (source_limb, target_limb))
    scale = ((jnp.sum(shared * source_length, axis=-1) + 1e-3)
             / (jnp.sum(shared * target_length, axis=-1) + 1e-3))[..., None]
    # A limb that points at the camera in either picture does not know its direction.
    shorter = jnp.minimum(source_length, target_length)
    return _Matched(
        source_limb / source_length[..., None], target_limb / target_length[..., None], scale,
        jnp.clip(source_length / target_length, scale / _STRETCH, scale * _STRETCH),
        shared * shorter**2 / (shorter**2 + reach**2))


class Cylinders(NamedTuple):
    """What a skeleton's body consists of for `turned_flow`: the trunk first, then limbs and head.

    Attributes:
      limbs: joint numbers of the limbs' ends, [limbs, 2].
      radii: of trunk and limbs, parts of the stature, [1 + limbs].
      depths: depth over width, [1 + limbs].
    """

    limbs: np.ndarray
    radii: np.ndarray
    depths: np.ndarray


# Half widths as parts of the stature, by a limb's far end (after the renderer's people, clothed).
_RADII = {"knee": 0.045, "ankle": 0.03, "elbow": 0.03, "wrist": 0.022, "nose": 0.05, "head_top": 0.05}
_TRUNK_RADIUS, _TRUNK_DEPTH = 0.1, 0.66
# From the hips' middle to the shoulders', and along a leg, as parts of the stature.
_TRUNK, _LEG = 0.27, 0.49
# At the silhouette a cylinder's surface runs away from the eye: the flow stops short of it.
_RIM = 0.97
# The further it turns, the more a point is looked for inside the limb: one that misses shows the place.
_INSET = 0.15


@functools.cache
def cylinders(skeleton: Skeleton) -> Cylinders:
    """The limbs that have a thickness; what joins the trunk's corners or the face's joints has none."""
    chosen = [limb for limb in skeleton.limbs if _part(limb[1]) in _RADII]
    return Cylinders(
        np.array([[skeleton.index(joint) for joint in limb] for limb in chosen], np.int32),
        np.array([_TRUNK_RADIUS] + [_RADII[_part(limb[1])] for limb in chosen], np.float32),
        np.array([_TRUNK_DEPTH] + [1.0] * len(chosen), np.float32))


def _part(joint: str) -> str:
    return joint.removeprefix("left_").removeprefix("right_")


def turned_flow(
    source: Float[Array, "*batch joints 3"],
    target: Float[Array, "*batch joints 3"],
    source_turn: Float[Array, "*batch"],
    target_turn: Float[Array, "*batch"],
    skeleton: Skeleton,
    size: tuple[int, int],
    image_size: tuple[int, int],
    *,
    spread: float = 0.03,
    background: float = 1e-3,
) -> Float[Array, "*batch h w 2"]:
    """The skeleton flow of a body that turns (docs/method.md, equation 5').

    Limbs are cylinders, the trunk an elliptic one: what was in its middle moves towards the rim as the
    body turns. A point that has turned away goes to where it would shine through.

    Args:
      source, target, skeleton, size, image_size, spread, background: as for `skeleton_flow`.
      source_turn, target_turn: which way the trunk faces, radians: 0 the camera, pi / 2 the picture's
        right.

    Returns:
      As `skeleton_flow`.
    """
    body = cylinders(skeleton)
    (source_start, source_end, source_known), (target_start, target_end, target_known) = (
        _ends(pose, skeleton, body) for pose in (source, target))
    shared = source_known * target_known
    reach = spread * image_size[0]
    source_axis, target_axis, scale, stretch, certain = _matched(
        source_start, source_end, target_start, target_end, shared, reach)
    source_side, target_side = _rightwards(source_axis), _rightwards(target_axis)

    # A limb turns about its own axis with the body as far as it is upright.
    radius, depth = body.radii * _stature(target, skeleton, image_size)[..., None], body.depths
    source_wide, source_angle = _ellipse(source_turn[..., None] * jnp.abs(source_axis[..., 1]), depth)
    target_wide, target_angle = _ellipse(target_turn[..., None] * jnp.abs(target_axis[..., 1]), depth)
    turn = per_cell(source_angle - target_angle)
    inside = 1 - _INSET * jnp.sin((source_angle - target_angle) / 2) ** 2
    source_radius = per_cell(inside * radius * source_wide * scale)
    target_radius = per_cell(radius * target_wide)

    points = grid(size, image_size)
    x, y = (points[..., i] - per_cell(target_start[..., i]) for i in range(2))
    along = x * per_cell(target_axis[..., 0]) + y * per_cell(target_axis[..., 1])
    across = x * per_cell(target_side[..., 0]) + y * per_cell(target_side[..., 1])
    share = jnp.clip(across / target_radius, -_RIM, _RIM)
    there = (source_radius * (share * jnp.cos(turn) + jnp.sqrt(1 - share**2) * jnp.sin(turn))
             + per_cell(scale) * (across - share * target_radius))  # loose cloth stays as far out
    along = along * per_cell(stretch)

    distance2, _ = segment_coordinates(points, target_start, target_end)
    inner = jnp.asarray([0.6] + [0.0] * len(body.limbs)) * radius
    distance = jax.nn.relu(jnp.sqrt(distance2 + 1e-6) - per_cell(inner))
    weight = per_cell(certain) / (1.0 + distance**2 / reach**2) ** 3
    total = jnp.sum(weight, axis=-3) + background

    def moved(axis):
        place = (per_cell(source_start[..., axis]) + along * per_cell(source_axis[..., axis])
                 + there * per_cell(source_side[..., axis]))
        return (jnp.sum(weight * (place - points[..., axis]), axis=-3) / total
                / image_size[1 - axis])

    return jnp.stack([moved(0), moved(1)], axis=-1)


def _ends(pose, skeleton, body):
    """Ends and visibility of trunk and limbs, the trunk from the hips' middle to the shoulders'."""
    torso = pose[..., skeleton.torso_indices, :]
    shoulders, hips = (torso[..., i:i + 2, :2].mean(axis=-2, keepdims=True) for i in (0, 2))
    starts, ends = (pose[..., body.limbs[:, i], :] for i in range(2))
    known = jnp.concatenate([jnp.min(torso[..., 2], axis=-1, keepdims=True),
                             jnp.minimum(starts[..., 2], ends[..., 2])], axis=-1)
    return (jnp.concatenate([hips, starts[..., :2]], axis=-2),
            jnp.concatenate([shoulders, ends[..., :2]], axis=-2), known)


def _stature(pose, skeleton, image_size):
    """A person's height in pixels: the largest that trunk and legs tell, as each may point at the
    camera; 80 % of the picture where neither is known."""
    torso = pose[..., skeleton.torso_indices, :]

    def length(a, b):
        return jnp.sqrt(jnp.sum((a[..., :2] - b[..., :2]) ** 2, axis=-1) + 1e-6)

    trunk = length(torso[..., :2, :].mean(axis=-2), torso[..., 2:, :].mean(axis=-2))
    told = [jnp.min(torso[..., 2], axis=-1) * trunk / _TRUNK]
    for side in ("right", "left"):
        hip, knee, ankle = (pose[..., skeleton.index(f"{side}_{joint}"), :]
                            for joint in ("hip", "knee", "ankle"))
        known = jnp.minimum(jnp.minimum(hip[..., 2], knee[..., 2]), ankle[..., 2])
        told.append(known * (length(hip, knee) + length(knee, ankle)) / _LEG)
    largest = functools.reduce(jnp.maximum, told)
    return jnp.where(largest > 0, largest, 0.8 * image_size[0])


def _ellipse(turn, depth):
    """How wide an elliptic cylinder of half width 1 looks when turned, and how far around its rim the
    middle of its front has gone, radians."""
    side, front = jnp.cos(turn), depth * jnp.sin(turn)
    return jnp.sqrt(side**2 + front**2), jnp.arctan2(front, side)


def _rightwards(axis):
    """Across an axis, to the picture's right."""
    across = _turn(axis)
    return jnp.where(across[..., :1] < 0, -across, across)


def _facing(
    pose: Float[Array, "*batch joints 3"], skeleton: Skeleton
) -> Float[Array, "*batch"]:
    """Positive facing the camera, negative from behind, 0 unless shoulders and hips are known.

    Twice the signed area of the quadrilateral of shoulders and hips.
    """
    torso = pose[..., skeleton.torso_indices, :]
    right_shoulder, left_shoulder, right_hip, left_hip = (torso[..., i, :2] for i in range(4))
    a, b = left_hip - right_shoulder, right_hip - left_shoulder
    known = jnp.min(torso[..., 2], axis=-1) > 0
    return jnp.where(known, a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0], 0.0)


def _outer(
    a: Float[Array, "*batch 2"], b: Float[Array, "*batch 2"]
) -> Float[Array, "*batch 2 2"]:
    return a[..., :, None] * b[..., None, :]


def _turn(axis: Float[Array, "*batch 2"]) -> Float[Array, "*batch 2"]:
    """A quarter turn."""
    return jnp.stack([-axis[..., 1], axis[..., 0]], axis=-1)
