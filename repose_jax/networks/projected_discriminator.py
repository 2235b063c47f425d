"""A discriminator that sees pictures through a fixed network (docs/method.md, 29'').

Projected GANs (Sauer et al. 2021): small convolutions judge each resolution of the features of a
network that was trained on ImageNet and stays as it is, so that the judge need not learn to see first.
Kernels are kept at a spectral norm of 1 (Miyato et al. 2018), as there. Not taken over: the random
mixing of channels and resolutions, and the moving of what is shown. Only training knows it.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from repose_jax.networks.conv import Conv

# From one start, not from that of the step before: a kernel's norm is then a function of it alone.
_ROUNDS = 8


class ProjectedDiscriminator(nn.Module):
    """Scores of cells at every resolution, positive where they look real.

    Attributes:
      channels: of the layers.
    """

    channels: int = 64

    @nn.compact
    def __call__(
        self, features: Sequence[Float[Array, "batch _h _w _c"]]
    ) -> list[Float[Array, "batch _h _w 1"]]:
        """Judges each resolution by itself.

        Args:
          features: of the fixed network, of about unit size.
        """
        scores = []
        for number, h in enumerate(features):
            for name, size in (("mix", (1, 1)), ("near", (3, 3))):
                h = nn.leaky_relu(Conv(self.channels, size, name=f"{name}_{number}")(h), 0.2)
            scores.append(Conv(1, (1, 1), name=f"score_{number}")(h))
        return scores


def spectral_norm(kernel: Float[Array, "*inputs outputs"]) -> Float[Array, ""]:
    """The largest singular value of a kernel as a matrix, from below, by power iteration.

    Its gradient takes the singular vectors as constants, which is exact where they are.
    """
    matrix = kernel.reshape(-1, kernel.shape[-1])
    fixed = jax.lax.stop_gradient(matrix)

    def unit(x):
        return x / (jnp.linalg.norm(x) + 1e-12)

    right = unit(jnp.ones(matrix.shape[1]))
    for _ in range(_ROUNDS):
        left = unit(fixed @ right)
        right = unit(left @ fixed)
    return left @ matrix @ right


def normalised(params: dict) -> dict:
    """The parameters with every kernel divided by its spectral norm."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf / (spectral_norm(leaf) + 1e-12) if path[-1].key == "kernel" else leaf,
        params)
