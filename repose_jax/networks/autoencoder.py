"""A first stage: pictures to latents of fewer cells and back (docs/method.md, equation 31).

The architecture is the autoencoder of latent diffusion (Rombach et al. 2022): residual blocks, a
stride of two between levels, one attention layer in the middle, a diagonal Gaussian over latents.
Sizes alone tell Stable Diffusion's own from a small one, so that its published weights fit.

Latents are standardised a channel, (z - shift) * scale, before anything is diffused; both are kept
among the parameters: a constant of .18215 for Stable Diffusion, measured where we train one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float, Key

from repose_jax.common.errors import UserError
from repose_jax.common.ranges import Depth, Width, check_fields
from repose_jax.networks.blocks import (
    ResBlock, depth_to_space, group_norm, resample, space_to_depth)
from repose_jax.networks.conv import Conv

Params = Any

_EPSILON = 1e-6  # of every normalisation; the U-Net's is 1e-5
_LOG_VARIANCE = -30.0, 20.0  # beyond which exp leaves float32's range of use
_LEVELS = 12


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Sizes.

    Attributes:
      channels: channels of each level, finest first; empty for no autoencoder. Stable Diffusion has
        128, 256, 512, 512.
      blocks: residual blocks a level of the encoder; the decoder has one more.
      latent: channels of the latents.
      patch: pixels a side that are folded into channels before the finest level.
      groups: groups of GroupNorm.
      latent_convs: a 1x1 convolution on either side of the latents ("quant" convolutions).
      attention: self-attention in the middle of encoder and decoder.
    """

    channels: tuple[Width, ...] = ()
    blocks: Depth = 2
    latent: Width = 4
    patch: Depth = 1
    groups: Width = 32
    latent_convs: bool = True
    attention: bool = True

    def __post_init__(self):
        check_fields(self, "autoencoder")
        if len(self.channels) > _LEVELS:
            raise UserError("autoencoder.channels", f"are of {len(self.channels)} levels",
                            f"give up to {_LEVELS}")

    @property
    def factor(self) -> int:
        """Pixels a side of one cell of the latents."""
        return self.patch * 2 ** max(len(self.channels) - 1, 0)


class Posterior(NamedTuple):
    """A diagonal Gaussian over latents, not yet standardised.

    Attributes:
      mean, log_variance: of each number.
    """

    mean: Float[Array, "batch h w c"]
    log_variance: Float[Array, "batch h w c"]

    def sample(self, keys: Key[Array, "batch"]) -> Float[Array, "batch h w c"]:
        """Latents drawn from it, those of a picture by its own key."""
        noise = jax.vmap(lambda key: jax.random.normal(key, self.mean.shape[1:]))(keys)
        return self.mean + jnp.exp(0.5 * self.log_variance) * noise

    def divergence(self) -> Float[Array, "batch"]:
        """Kullback-Leibler divergence from a standard normal, nats a number of the latents."""
        each = self.mean**2 + jnp.exp(self.log_variance) - 1 - self.log_variance
        return 0.5 * each.mean((1, 2, 3))


class _Attention(nn.Module):
    """Self-attention of one head, its input normalised: x + W softmax(Q K^T / sqrt(C)) V."""

    groups: int

    @nn.compact
    def __call__(self, x: Float[Array, "batch h w c"]) -> Float[Array, "batch h w c"]:
        batch, h, w, channels = x.shape
        tokens = rearrange(group_norm(channels, self.groups, "norm", _EPSILON)(x),
                           "b h w c -> b (h w) 1 c")
        query, key, value = (nn.Dense(channels, name=name)(tokens)
                             for name in ("query", "key", "value"))
        attended = jax.nn.dot_product_attention(query, key, value, implementation="xla")
        out = nn.Dense(channels, name="out")(attended)
        return x + out.reshape(batch, h, w, channels)


class _Half(nn.Module):
    """What encoder and decoder have in common."""

    config: AutoencoderConfig

    def residual(self, channels: int, name: str) -> ResBlock:
        return ResBlock(channels, groups=self.config.groups, epsilon=_EPSILON, name=name)

    def middle(self, h: Float[Array, "batch h w c"]) -> Float[Array, "batch h w c"]:
        h = self.residual(h.shape[-1], "middle_0")(h)
        if self.config.attention:
            h = _Attention(self.config.groups, name="attention")(h)
        return self.residual(h.shape[-1], "middle_1")(h)

    def head(self, h: Float[Array, "batch h w c"], channels: int) -> Float[Array, "batch h w d"]:
        h = nn.silu(group_norm(h.shape[-1], self.config.groups, "head_norm", _EPSILON)(h))
        return Conv(channels, (3, 3), name="head")(h)


class _Encoder(_Half):
    """Pictures in [-1, 1] to mean and log variance, side by side."""

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width 3"]) -> Float[Array, "batch h w c2"]:
        cfg = self.config
        h = Conv(cfg.channels[0], (3, 3), name="stem")(space_to_depth(x, cfg.patch))
        for level, width in enumerate(cfg.channels):
            for i in range(cfg.blocks):
                h = self.residual(width, f"level_{level}_{i}")(h)
            if level + 1 < len(cfg.channels):
                # Padded below and to the right alone, as latent diffusion has it.
                h = nn.Conv(width, (3, 3), 2, ((0, 1), (0, 1)), name=f"down_{level}")(h)
        return self.head(self.middle(h), 2 * cfg.latent)


class _Decoder(_Half):
    """Latents, not standardised, to pictures, about in [-1, 1]."""

    @nn.compact
    def __call__(self, z: Float[Array, "batch h w c"]) -> Float[Array, "batch height width 3"]:
        cfg = self.config
        h = self.middle(Conv(cfg.channels[-1], (3, 3), name="stem")(z))
        for level, width in reversed(list(enumerate(cfg.channels))):
            for i in range(cfg.blocks + 1):
                h = self.residual(width, f"level_{level}_{i}")(h)
            if level:
                h = Conv(width, (3, 3), name=f"up_{level}")(resample(h, "up"))
        return depth_to_space(self.head(h, 3 * cfg.patch**2), cfg.patch)


class Autoencoder(nn.Module):
    """Encoder and decoder, and the numbers that standardise the latents between them.

    Attributes:
      config: sizes, with channels.
    """

    config: AutoencoderConfig

    def setup(self):
        cfg = self.config
        self.encoder, self.decoder = _Encoder(cfg), _Decoder(cfg)
        if cfg.latent_convs:
            self.to_latent = Conv(2 * cfg.latent, (1, 1))
            self.from_latent = Conv(cfg.latent, (1, 1))
        self.shift = self.param("shift", nn.initializers.zeros, (cfg.latent,))
        self.scale = self.param("scale", nn.initializers.ones, (cfg.latent,))

    def encode(self, pictures: Float[Array, "batch height width 3"]) -> Posterior:
        """The Gaussian over latents of pictures in [-1, 1].

        Raises:
          ValueError: for pictures whose sides are no multiples of `config.factor`.
        """
        if any(side % self.config.factor for side in pictures.shape[1:3]):
            raise ValueError(f"pictures of {pictures.shape[1]}x{pictures.shape[2]} are no whole cells "
                             f"of {self.config.factor} pixels")
        both = self.encoder(pictures)
        mean, log_variance = jnp.split(self.to_latent(both) if self.config.latent_convs else both,
                                       2, axis=-1)
        return Posterior(mean, jnp.clip(log_variance, *_LOG_VARIANCE))

    def decode(self, z: Float[Array, "batch h w c"]) -> Float[Array, "batch height width 3"]:
        """Pictures, about in [-1, 1], of latents as `encode` gives them."""
        return self.decoder(self.from_latent(z) if self.config.latent_convs else z)

    def latents(
        self, pictures: Float[Array, "batch height width 3"]
    ) -> Float[Array, "batch h w c"]:
        """What is diffused: the mean, standardised. Sampling from the Gaussian would add little."""
        return (self.encode(pictures).mean - self.shift) * self.scale

    def pictures(self, latents: Float[Array, "batch h w c"]) -> Float[Array, "batch height width 3"]:
        """The inverse of `latents` as far as there is one; about in [-1, 1]."""
        return self.decode(latents / self.scale + self.shift)

    def __call__(
        self, pictures: Float[Array, "batch height width 3"]
    ) -> Float[Array, "batch height width 3"]:
        """Pictures through their latents and back."""
        return self.decode(self.encode(pictures).mean)


def fresh_autoencoder(config: AutoencoderConfig) -> Callable[[Key[Array, ""]], Params]:
    """What makes an autoencoder's fresh parameters from a key."""
    return lambda key: Autoencoder(config).init(
        key, jnp.zeros((1, config.factor, config.factor, 3)))["params"]


def standardised(
    params: Params, mean: Float[Array, "c"], deviation: Float[Array, "c"]
) -> Params:
    """Parameters whose latents have mean 0 and deviation 1.

    Args:
      params: of an autoencoder.
      mean, deviation: of each channel of `Posterior.mean` over pictures.
    """
    return {**params, "shift": mean, "scale": 1 / jnp.maximum(deviation, 1e-6)}
