"""How tall a person is in a picture."""

from __future__ import annotations

import functools

import jax.numpy as jnp
from jaxtyping import Array, Float

from repose_jax.pose.skeleton import Skeleton

# From the hips' middle to the shoulders', and along a leg, as parts of the stature.
_TRUNK, LEG = 0.27, 0.49


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
    torso = pose[..., skeleton.torso_indices, :]

    def length(a, b):
        return jnp.sqrt(jnp.sum((a[..., :2] - b[..., :2]) ** 2, axis=-1) + 1e-6)

    trunk = length(torso[..., :2, :].mean(axis=-2), torso[..., 2:, :].mean(axis=-2))
    told = [jnp.min(torso[..., 2], axis=-1) * trunk / _TRUNK]
    for side in ("right", "left"):
        hip, knee, ankle = (pose[..., skeleton.index(f"{side}_{joint}"), :]
                            for joint in ("hip", "knee", "ankle"))
        known = jnp.minimum(jnp.minimum(hip[..., 2], knee[..., 2]), ankle[..., 2])
        told.append(known * (length(hip, knee) + length(knee, ankle)) / LEG)
    largest = functools.reduce(jnp.maximum, told)
    return jnp.where(largest > 0, largest, 0.8 * image_size[0])
