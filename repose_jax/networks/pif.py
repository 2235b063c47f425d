"""The pose interaction field: how far a pose is from the valid ones (docs/method.md, equation 15).

After Pose-NDF (Tiwari et al. 2022) and its counterpart for 2-D poses, POST: each bone is encoded
together with the bone that it hangs on, all of them decide the distance. A second head tells where
the manifold lies, an offset for each bone (after NIFTY, Kulkarni et al. 2023). Smooth throughout,
for its gradient guides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from repose_jax.common.ranges import Depth, Width, check_fields
from repose_jax.pose.bones import bone_parents, bone_vectors
from repose_jax.pose.skeleton import SKELETONS, Skeleton

Params = Any

# Softness of the distance's lower bound: softplus(s x) / s stays useful to a gradient for a few
# 1/s below 0, where a hinge would be flat, and leaves about 1 % of s^-1 on a pose that is valid.
_SHARPNESS = 20.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldConfig:
    """Everything that decides the shape of the parameters.

    Attributes:
      skeleton: name of the skeleton of the poses.
      features: of each bone.
      width: of the layers behind them.
      depth: number of those layers.
    """

    skeleton: str = "market14"
    features: Width = 12
    width: Width = 256
    depth: Depth = 4

    def __post_init__(self):
        check_fields(self, "field")


@flax.struct.dataclass
class FieldOutput:
    """What the field says of a pose.

    Attributes:
      distance: [batch], at least 0: mean change of the bones' unit vectors to a valid pose.
      offset: [batch, bones, 2], the change itself; 0 for bones that are not visible.
    """

    distance: Float[Array, "batch"]
    offset: Float[Array, "batch bones 2"]


class PoseField(nn.Module):
    """Bones to distance and offset.

    Attributes:
      config: sizes.
    """

    config: FieldConfig

    @property
    def skeleton(self) -> Skeleton:
        """Skeleton of the poses."""
        return SKELETONS[self.config.skeleton]

    @nn.compact
    def __call__(
        self, unit: Float[Array, "batch bones 2"], visible: Float[Array, "batch bones"]
    ) -> FieldOutput:
        """Runs the network.

        Args:
          unit: the bones' directions.
          visible: in [0, 1]; a bone's influence fades with it.
        """
        cfg, parents = self.config, bone_parents(self.skeleton)
        own = jnp.concatenate([unit * visible[..., None], visible[..., None]], axis=-1)
        encoded: dict[int, Array] = {}
        while len(encoded) < len(parents):
            for bone, parent in enumerate(parents):
                if bone not in encoded and (parent < 0 or parent in encoded):
                    seen = own[:, bone] if parent < 0 else jnp.concatenate(
                        [own[:, bone], encoded[parent]], axis=-1)
                    hidden = nn.silu(nn.Dense(2 * cfg.features, name=f"bone_{bone}_in")(seen))
                    encoded[bone] = nn.silu(nn.Dense(cfg.features, name=f"bone_{bone}_out")(hidden))
        h = jnp.concatenate([encoded[bone] for bone in range(len(parents))], axis=-1)
        for layer in range(cfg.depth):
            h = nn.silu(nn.Dense(cfg.width, name=f"layer_{layer}")(h))
        distance = nn.softplus(_SHARPNESS * nn.Dense(1, name="distance")(h)[:, 0]) / _SHARPNESS
        offset = nn.Dense(2 * len(parents), name="offset")(h).reshape(unit.shape)
        return FieldOutput(distance, offset * visible[..., None])

    def of_pose(self, pose: Float[Array, "batch joints 3"]) -> FieldOutput:
        """The same of poses: x, y and visibility, in any unit and anywhere."""
        unit, _, visible = bone_vectors(pose, self.skeleton)
        return self(unit, visible)


def fresh_field(config: FieldConfig) -> Callable[[Key[Array, ""]], Params]:
    """What makes a field's fresh parameters from a key."""
    bones = len(SKELETONS[config.skeleton].limbs)
    return lambda key: PoseField(config).init(
        key, jnp.zeros((1, bones, 2)), jnp.zeros((1, bones)))["params"]


def project(
    field: Callable[[Float[Array, "batch bones 2"]], Float[Array, "batch"]],
    unit: Float[Array, "batch bones 2"],
    steps: int,
) -> Float[Array, "batch bones 2"]:
    """Follows a field's gradient to the manifold: u <- u - f grad f / |grad f|^2, renormalised.

    The projection of Pose-NDF, its gradient within the unit circles' tangents.

    Args:
      field: distance of poses by their bones' directions.
      unit: where to start; bones that are 0 stay 0.
      steps: how often.
    """

    def step(u, _):
        value, gradient = jax.value_and_grad(
            lambda u: (lambda f: (f.sum(), f))(field(u)), has_aux=True)(u)
        gradient = gradient - jnp.sum(gradient * u, axis=-1, keepdims=True) * u
        size2 = jnp.maximum(jnp.sum(gradient**2, axis=(1, 2)), 1e-8)
        moved = u - (value[1] / size2)[:, None, None] * gradient
        length2 = jnp.sum(moved**2, axis=-1, keepdims=True)
        return jnp.where(length2 > 1e-12, moved / jnp.sqrt(jnp.maximum(length2, 1e-12)), 0.0), None

    return jax.lax.scan(step, unit, None, length=steps)[0]
