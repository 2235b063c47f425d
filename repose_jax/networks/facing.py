"""Which way a person faces, read off a flat pose (docs/method.md, 5')."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from repose_jax.common.ranges import Width, check_fields
from repose_jax.pose.skeleton import SKELETONS

Params = dict


@dataclasses.dataclass(frozen=True, kw_only=True)
class FacingConfig:
    """What decides the parameters of `Facing`.

    Attributes:
      skeleton: of the poses.
      hidden: channels of its layers.
    """

    skeleton: str = "openpose18"
    hidden: Width = 64

    def __post_init__(self):
        check_fields(self, "facing")


class Facing(nn.Module):
    """The turn of the trunk about its own axis, from all joints at once.

    Two layers over the joints, about their middle and in parts of their spread, so that neither where a
    person stands nor how large matters. The picture is not looked at.

    Attributes:
      hidden: channels of the layers.
    """

    hidden: int = 64

    @nn.compact
    def __call__(self, pose: Float[Array, "*batch joints 3"]) -> Float[Array, "*batch 2"]:
        """Reads poses.

        Args:
          pose: pixels; joints of visibility 0 are not looked at.

        Returns:
          A vector whose direction is the turn, (cosine, sine): (1, 0) faces the camera, (0, 1) the
          picture's right. Fresh parameters answer (1, 0).
        """
        known = (pose[..., 2:] > 0).astype(jnp.float32)
        count = jnp.maximum(known.sum(axis=-2, keepdims=True), 1)
        middle = (pose[..., :2] * known).sum(axis=-2, keepdims=True) / count
        place = (pose[..., :2] - middle) * known
        spread = jnp.sqrt((place**2).sum(axis=(-2, -1), keepdims=True) / count + 1e-6)
        h = jnp.concatenate([(place / spread).reshape(*pose.shape[:-2], -1), known[..., 0]], axis=-1)
        for name in ("first", "second"):
            h = nn.silu(nn.Dense(self.hidden, name=name)(h))
        head = nn.Dense(2, name="head", kernel_init=nn.initializers.zeros)
        return head(h) + jnp.array([1.0, 0.0])


def angle(facing: Float[Array, "*batch 2"]) -> Float[Array, "*batch"]:
    """The turn in radians, from what `Facing` answers."""
    return jnp.arctan2(facing[..., 1], facing[..., 0])


def fresh_facing(config: FacingConfig) -> Callable[[Key[Array, ""]], Params]:
    """The function that makes fresh parameters from a key."""
    pose = jnp.zeros((1, len(SKELETONS[config.skeleton].joints), 3))
    return lambda key: Facing(config.hidden).init(key, pose)["params"]
