"""Legs of which a picture shows the beginning (docs/method.md, equation 35)."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from repose_jax.pose.skeleton import Skeleton
from repose_jax.pose.stature import LEG, stature, trunk

# A joint counts as beyond the edge from 2 % of the height within it: those at the very edge are missed.
_EDGE = 0.02


def with_cut_off_legs(
    pose: Float[Array, "*batch joints 3"], skeleton: Skeleton, image_size: tuple[int, int]
) -> Float[Array, "*batch joints 3"]:
    """The pose with knees and ankles where they must be if the picture's edge cuts them off.

    A thigh that is not known hangs from its hip as the trunk does, a shank goes on as its thigh; each
    is half of a leg long. Added is only what lies beyond the edge: a joint that should be seen and is
    not may be hidden, and nobody knows where.

    Args:
      pose: x, y in pixels, visibility.
      skeleton: names the joints.
      image_size: (height, width) of the picture.

    Returns:
      The pose, joints that were added as visible as what they follow from. Where the trunk is not known
      nothing is added.
    """
    body, length = trunk(pose, skeleton), LEG / 2 * stature(pose, skeleton, image_size)
    for side in ("right", "left"):
        hip, knee, ankle = (skeleton.index(f"{side}_{joint}") for joint in ("hip", "knee", "ankle"))
        for joint, before in ((knee, hip), (ankle, knee)):
            along = (body.hips - body.shoulders if joint == knee else
                     pose[..., knee, :2] - pose[..., hip, :2])
            unit = along / jnp.sqrt(jnp.sum(along**2, axis=-1, keepdims=True) + 1e-6)
            place = pose[..., before, :2] + length[..., None] * unit
            known = jnp.minimum(body.known, pose[..., before, 2])
            added = (known > 0) & (pose[..., joint, 2] <= 0) & _beyond(place, image_size)
            told = jnp.concatenate([place, known[..., None]], axis=-1)
            pose = pose.at[..., joint, :].set(
                jnp.where(added[..., None], told, pose[..., joint, :]))
    return pose


def _beyond(place, image_size):
    """Whether points lie outside of the picture, or nearly."""
    height, width = image_size
    x, y, edge = place[..., 0], place[..., 1], _EDGE * height
    return (x < edge) | (x > width - 1 - edge) | (y < edge) | (y > height - 1 - edge)
