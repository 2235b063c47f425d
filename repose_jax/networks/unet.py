"""The denoising U-Net (docs/method.md, equation 2).

Its plan (which block stands where, and which of them attends to the source) is PIDM's: at the
levels named, the last block going down, the second going up, and the middle. The aligned source
enters in two ways, each switchable: as keys and values of the attention, and as conditional
channels at every level. Both depend on the source alone; `condition` makes them once a picture.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Num

from repose_jax.common.ranges import Depth, Natural, Range, Width, added, check_fields
from repose_jax.networks.blocks import (
    CONVOLVED, CrossAttention, Kernel, KeysValues, ResBlock, depth_to_space, group_norm, resample,
    sinusoids, space_to_depth)
from repose_jax.networks.conv import Conv


@dataclasses.dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """Sizes of the U-Net and of the source encoder, which is its encoder half.

    Attributes:
      channels: channels of each level, finest first.
      blocks: residual blocks a level going down; going up there is one more.
      attention: levels (0 = finest) at which the U-Net attends to the source.
      heads: attention heads.
      resample_blocks: resample inside residual blocks of their own (PIDM); otherwise by plain
        average pooling and nearest neighbour, which costs no parameters and, at the fine levels,
        a third less time.
      patch: pixels a side that are folded into channels before the finest level.
      refine: channels of the full-resolution layer after unfolding; only used when patch > 1.
      groups: groups of GroupNorm.
      dropout: dropout inside the residual blocks.
      bfloat16: compute convolutions and attention in bfloat16; parameters stay float32.
      remat: recompute residual blocks in the backward pass to save memory.
      remat_keep: what of them is kept all the same: "nothing", or the output of their first
        "convolution", so that no convolution is done twice.
      attention_kernel: who computes attention: "xla", "cudnn" on a GPU, or "auto", which is cuDNN's
        where that can: in bfloat16, with heads of up to 128 channels.
    """

    channels: tuple[Width, ...] = (128, 128, 256, 256, 512, 512)
    blocks: Depth = 2
    attention: tuple[Natural, ...] = (3, 4, 5)
    heads: Width = 1
    resample_blocks: bool = True
    patch: Depth = 1
    refine: Width = 16
    groups: Width = 32
    dropout: Annotated[float, Range(0, 1, open_high=True)] = 0.1
    bfloat16: bool = False
    remat: bool = False
    remat_keep: Literal["nothing", "convolution"] = added("nothing")
    attention_kernel: Kernel = added("auto")

    def __post_init__(self):
        check_fields(self, "model.network.unet")

    @property
    def embedding(self) -> int:
        """Width of the time embedding."""
        return 4 * self.channels[0]

    @property
    def stride(self) -> int:
        """Pixels a side of one cell of the coarsest level; picture sizes are multiples of it."""
        return self.patch * 2 ** (len(self.channels) - 1)

    @property
    def dtype(self):
        """Compute type."""
        return jnp.bfloat16 if self.bfloat16 else jnp.float32

    def level_size(self, level: int, image_size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) of a level's maps for pictures of `image_size`."""
        cell = self.patch * 2**level
        return image_size[0] // cell, image_size[1] // cell


@dataclasses.dataclass(frozen=True)
class Block:
    """One entry of the encoder's plan: a feature map that a skip connection will carry."""

    level: int
    kind: str  # "stem" | "residual" | "down"
    channels: int
    attends: bool = False


def encoder_plan(config: UNetConfig) -> tuple[Block, ...]:
    """The blocks of the encoder half, in order: 18 for PIDM's configuration."""
    plan = [Block(0, "stem", config.channels[0])]
    for level, width in enumerate(config.channels):
        if level:
            plan.append(Block(level, "down", config.channels[level - 1]))
        for i in range(config.blocks):
            attends = level in config.attention and i == config.blocks - 1
            plan.append(Block(level, "residual", width, attends))
    return tuple(plan)


def learned_blocks(config: UNetConfig) -> tuple[Block, ...]:
    """The encoder's blocks after the stem that have parameters."""
    return tuple(block for block in encoder_plan(config)[1:]
                 if config.resample_blocks or block.kind != "down")


def decoder_plan(config: UNetConfig) -> tuple[Block, ...]:
    """The blocks of the decoder half, each taking one skip connection."""
    plan = []
    for level in reversed(range(len(config.channels))):
        for i in range(config.blocks + 1):
            attends = level in config.attention and i == min(1, config.blocks)
            plan.append(Block(level, "residual", config.channels[level], attends))
    return tuple(plan)


def attended_features(config: UNetConfig) -> tuple[int, ...]:
    """Which encoder feature each attention layer reads: going down, middle, going up.

    Going down, layer k reads feature k; the middle reads the last; going up, block k reads
    feature -k-1 (as PIDM).
    """
    down = [k for k, block in enumerate(encoder_plan(config)) if block.attends]
    last = len(encoder_plan(config)) - 1
    up = [last - k for k, block in enumerate(decoder_plan(config)) if block.attends]
    middle = [last] if config.attention else []
    return tuple(down + middle + up)


def level_features(config: UNetConfig) -> tuple[int, ...]:
    """The feature that stands for each level, finest first: its last."""
    plan = encoder_plan(config)
    return tuple(max(k for k, block in enumerate(plan) if block.level == level)
                 for level in range(len(config.channels)))


def rematerialised(config: UNetConfig) -> type[nn.Module]:
    """The residual block, recomputed in the backward pass where the configuration asks for it."""
    if not config.remat:
        return ResBlock
    policy = None if config.remat_keep == "nothing" else (
        jax.checkpoint_policies.save_only_these_names(CONVOLVED))
    return nn.remat(ResBlock, policy=policy)


class UNet(nn.Module):
    """Denoiser network.

    Attributes:
      config: sizes.
      out_channels: channels of the output picture.
      attend: attend to the source.
      inject: add conditional channels at every level.
    """

    config: UNetConfig
    out_channels: int
    attend: bool = True
    inject: bool = True

    def setup(self):
        cfg = self.config
        block = rematerialised(cfg)

        def residual(channels, resample="none", name=None):
            return block(channels, resample, cfg.dropout, cfg.groups, cfg.dtype, name=name)

        def attention(channels):
            return CrossAttention(channels, cfg.heads, cfg.groups, cfg.dtype,
                                  cfg.attention_kernel)

        self.time_in = nn.Dense(cfg.embedding)
        self.time_out = nn.Dense(cfg.embedding)
        self.stem = Conv(cfg.channels[0], (3, 3), dtype=cfg.dtype)
        self.down = [
            residual(b.channels, "down" if b.kind == "down" else "none")
            for b in learned_blocks(cfg)]
        self.middle = [residual(cfg.channels[-1]) for _ in range(2)]
        self.up = [residual(b.channels) for b in decoder_plan(cfg)]
        if cfg.resample_blocks:
            self.upsample = [residual(cfg.channels[level], "up")
                             for level in reversed(range(1, len(cfg.channels)))]
        if self.attend:
            down = [b.channels for b in encoder_plan(cfg) if b.attends]
            up = [b.channels for b in decoder_plan(cfg) if b.attends]
            middle = [cfg.channels[-1]] if cfg.attention else []
            self.attention = [attention(c) for c in down + middle + up]
        if self.inject:
            entry = [b.channels for b in encoder_plan(cfg) if b.kind != "residual"]
            self.injection = [nn.Dense(c, dtype=cfg.dtype) for c in entry]
        self.head_norm = group_norm(cfg.channels[0], cfg.groups)
        if cfg.patch == 1:
            self.head = self._zero_conv()
        else:
            self.unfold = Conv(cfg.patch**2 * cfg.refine, (1, 1), dtype=cfg.dtype)
            self.refine = Conv(cfg.refine, (3, 3), dtype=cfg.dtype)
            self.head = self._zero_conv()

    def _zero_conv(self):
        return Conv(self.out_channels, (3, 3), kernel_init=nn.initializers.zeros)

    def condition(
        self, features: dict[int, Float[Array, "batch _h _w _c"]]
    ) -> tuple[tuple[KeysValues, ...], tuple[Float[Array, "batch _h _w _c"], ...]]:
        """Keys and values of every attention layer, and the conditional channels of every level.

        Args:
          features: the (aligned) source features by their number in the encoder's plan.
        """
        keys_values, injected = (), ()
        if self.attend:
            keys_values = tuple(layer.keys_values(features[k]) for layer, k in
                                zip(self.attention, attended_features(self.config), strict=True))
        if self.inject:
            injected = tuple(layer(features[k]) for layer, k in
                             zip(self.injection, level_features(self.config), strict=True))
        return keys_values, injected

    def __call__(
        self,
        y: Float[Array, "batch height width c"],
        t: Num[Array, "batch"],
        maps: Float[Array, "batch h w m"],
        keys_values: tuple[KeysValues, ...],
        injected: tuple[Float[Array, "batch _h _w _c"], ...],
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> Float[Array, "batch height width out"]:
        """Runs the network.

        Args:
          y: the noisy picture, with whatever full-resolution conditions are concatenated to it.
          t: time steps.
          maps: maps of the target pose at the finest level's resolution.
          keys_values, injected: from `condition`.
          dropout_keys: one a sample, to train with dropout.
        """
        cfg = self.config
        embedding = self.time_out(nn.silu(self.time_in(sinusoids(t, cfg.channels[0]))))
        attention = iter(zip(self.attention, keys_values, strict=True) if self.attend else ())

        def attend(h, attends):
            if attends and self.attend:
                layer, kv = next(attention)
                h = layer(h, kv)
            return h

        def inject(h, level):
            # Concatenating the conditional channels before a 1x1 convolution and writing its half
            # that reads h as the identity: W [h; F] = h + W_F F. A checkpoint without injection is
            # the case W_F = 0.
            return h + injected[level] if self.inject else h

        x = jnp.concatenate([space_to_depth(y, cfg.patch), maps], axis=-1)
        h = inject(self.stem(x.astype(cfg.dtype)), 0)
        skips = [h]
        down = iter(self.down)
        for block in encoder_plan(cfg)[1:]:
            if block.kind == "down" and not cfg.resample_blocks:
                h = resample(h, "down")
            else:
                h = next(down)(h, embedding, dropout_keys)
            if block.kind == "down":
                h = inject(h, block.level)
            h = attend(h, block.attends)
            skips.append(h)

        h = self.middle[0](h, embedding, dropout_keys)
        h = attend(h, bool(cfg.attention))
        h = self.middle[1](h, embedding, dropout_keys)

        upsample = iter(self.upsample if cfg.resample_blocks else ())
        level = len(cfg.channels) - 1
        for block, layer in zip(decoder_plan(cfg), self.up, strict=True):
            if block.level != level:
                level = block.level
                if cfg.resample_blocks:
                    h = next(upsample)(h, embedding, dropout_keys)
                else:
                    h = resample(h, "up")
            h = layer(jnp.concatenate([h, skips.pop()], axis=-1), embedding, dropout_keys)
            h = attend(h, block.attends)

        h = nn.silu(self.head_norm(h)).astype(cfg.dtype)
        if cfg.patch > 1:
            h = depth_to_space(self.unfold(h), cfg.patch)
            h = jnp.concatenate([h, y.astype(cfg.dtype)], axis=-1)
            h = nn.silu(self.refine(h))
        return self.head(h.astype(jnp.float32))
