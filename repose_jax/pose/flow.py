"""The skeleton flow: where each point of the target pose was in the source pose, in closed form.

Every limb carries the picture around it. A limb that both poses show maps the target's limb onto
the source's: turned with it, stretched along it by the ratio of their lengths, and scaled across it
by the body's overall scale, because a limb that points at the camera is shorter but no thinner. The
limbs' maps are blended by the distance to each limb; far from the body the flow fades to zero.

Ours (docs/method.md, equation 5): the initial flow d_0 of the recurrent pose alignment.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from repose_jax.pose.axes import quarter_turn
from repose_jax.pose.cells import grid, per_cell, segment_coordinates
from repose_jax.pose.limb_match import matched
from repose_jax.pose.maps import limb_ends
from repose_jax.pose.skeleton import Skeleton


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
    pairs = matched(source_start, source_end, target_start, target_end, shared, reach)

    # Seen from the other side, a person is a mirror image: right of a limb becomes left of it.
    mirrored = jnp.where(
        _facing(source, skeleton) * _facing(target, skeleton) < 0, -1.0, 1.0)[..., None]
    # Each limb's map is affine: p goes to linear @ (p - target_start) + source_start.
    linear = (_outer(pairs.source_axis, pairs.target_axis) * pairs.stretch[..., None, None]
              + _outer(quarter_turn(pairs.source_axis), quarter_turn(pairs.target_axis))
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
