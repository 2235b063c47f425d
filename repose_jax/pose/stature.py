"""How tall a person is in a picture, and where the trunk is."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from repose_jax.pose.skeleton import Skeleton

# From the hips' middle to the shoulders', and along a leg, as parts of the stature.
_TRUNK, LEG = 0.27, 0.49


class Trunk(NamedTuple):
    """Where a trunk is.

    Attributes:
      shoulders, hips: the middle of each pair, x and y in pixels.
      known: how visible the least visible of the four is; 0 where the pose does not tell.
    """

    shoulders: Float[Array, "*batch 2"]
    hips: Float[Array, "*batch 2"]
    known: Float[Array, "*batch"]


def trunk(pose: Float[Array, "*batch joints 3"], skeleton: Skeleton) -> Trunk:
    """The trunk of a pose in pixels, from all four of its corners."""
    corners = pose[..., skeleton.torso_indices, :]
    shoulders, hips = (corners[..., i:i + 2, :2].mean(axis=-2) for i in (0, 2))
    return Trunk(shoulders, hips, jnp.min(corners[..., 2], axis=-1))


def stature(
    pose: Float[Array, "*batch joints 3"], skeleton: Skeleton, image_size: tuple[int, int]
) -> Float[Array, "*batch"]:
    """A person's height in pixels: the largest that trunk and legs tell, as each may point at the
    camera; 80 % of the picture where neither is known.

    Args:
      pose: x, y in pixels, visibility.
      skeleton: names the joints.
      image_size: (height, width) of the picture.
    """
    body = trunk(pose, skeleton)

    def length(a, b):
        return jnp.sqrt(jnp.sum((a[..., :2] - b[..., :2]) ** 2, axis=-1) + 1e-6)

    # However sure joints are, they are as far from each other.
    told = [(body.known > 0) * length(body.shoulders, body.hips) / _TRUNK]
    for side in ("right", "left"):
        hip, knee, ankle = (pose[..., skeleton.index(f"{side}_{joint}"), :]
                            for joint in ("hip", "knee", "ankle"))
        known = jnp.minimum(jnp.minimum(hip[..., 2], knee[..., 2]), ankle[..., 2]) > 0
        told.append(known * (length(hip, knee) + length(knee, ankle)) / LEG)
    largest = functools.reduce(jnp.maximum, told)
    return jnp.where(largest > 0, largest, 0.8 * image_size[0])
