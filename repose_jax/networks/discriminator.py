"""The discriminator of the painter's adversarial loss: which cells of a picture look real.

A conditional PatchGAN (Isola et al. 2017): it sees the picture beside the aligned source and the
target's pose maps, so that a picture has to fit both, and scores every 16x16 cell. Only training
knows it.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from repose_jax.networks.blocks import space_to_depth
from repose_jax.networks.conv import Conv


class Discriminator(nn.Module):
    """Scores of cells, and the features by which they were found.

    Attributes:
      channels: of each layer; each halves the resolution, as long as it can be halved.
    """

    channels: tuple[int, ...] = (32, 64, 96, 128)

    @nn.compact
    def __call__(
        self,
        picture: Float[Array, "batch height width 3"],
        aligned: Float[Array, "batch height width 3"],
        maps: Float[Array, "batch h w maps"],
    ) -> tuple[Float[Array, "batch _h _w 1"], list[Float[Array, "batch _h2 _w2 _c"]]]:
        """Judges pictures.

        Args:
          picture: real or painted, in [-1, 1].
          aligned: the aligned source.
          maps: of the target pose, at half the resolution.

        Returns:
          (scores, positive where it looks real; features of every layer, finest first).
        """
        h, features = jnp.concatenate([picture, aligned], axis=-1), []
        for number, width in enumerate(self.channels):
            if h.shape[1] % 2 or h.shape[2] % 2:
                break
            if number == 1:
                h = jnp.concatenate([h, maps], axis=-1)
            h = nn.leaky_relu(Conv(width, (3, 3), name=f"layer_{number}")(space_to_depth(h, 2)), 0.2)
            features.append(h)
        h = nn.leaky_relu(Conv(self.channels[-1], (3, 3), name="last")(h), 0.2)
        return Conv(1, (1, 1), name="score")(h), features
