"""The source encoder: texture features of the source picture, one map for each U-Net block.

The encoder half of the U-Net without time embedding and without attention (PIDM's texture encoder).
"""

from __future__ import annotations

import flax.linen as nn
from jaxtyping import Array, Float, Key

from repose_jax.networks.blocks import resample, space_to_depth
from repose_jax.networks.conv import Conv
from repose_jax.networks.unet import UNetConfig, encoder_plan, rematerialised


class SourceEncoder(nn.Module):
    """F^0: the features that the recurrent pose alignment warps.

    Attributes:
      config: the U-Net's sizes, except for its channels.
      channels: channels of each level; a narrower encoder than the U-Net is allowed.
    """

    config: UNetConfig
    channels: tuple[int, ...]

    @nn.compact
    def __call__(
        self,
        source: Float[Array, "batch height width channels"],
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> list[Float[Array, "batch _h _w _c"]]:
        """Returns the feature maps in the order of `encoder_plan`."""
        cfg = self.config
        h = space_to_depth(source, cfg.patch).astype(cfg.dtype)
        residual, features = rematerialised(cfg), []
        for i, block in enumerate(encoder_plan(cfg)):
            wide = block.level - 1 if block.kind == "down" else block.level
            if block.kind == "down" and not cfg.resample_blocks:
                h = resample(h, "down")
            elif block.kind == "stem":
                h = Conv(self.channels[0], (3, 3), dtype=cfg.dtype, name="stem")(h)
            else:
                h = residual(self.channels[wide], "down" if block.kind == "down" else "none",
                             cfg.dropout, cfg.groups, cfg.dtype, name=f"block_{i}")(
                                 h, None, dropout_keys)
            features.append(h)
        return features
