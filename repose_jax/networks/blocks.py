"""The blocks that the U-Net and the source encoder share.

Order of operations, initialisations and attention follow PIDM's released model (Bhunia et al. 2023,
itself Dhariwal & Nichol 2021), so that its tensors map one to one: GroupNorm, SiLU, 3x3 conv;
the time embedding scales and shifts after the second GroupNorm; zero-initialised last convolution;
resampling inside the residual block by average pooling or nearest neighbour.
"""

from __future__ import annotations

import math
import zlib
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Key, Num

from repose_jax.networks.conv import Conv
from repose_jax.networks.norm import GroupNorm

Dtype = Any
Kernel = Literal["auto", "xla", "cudnn"]
CONVOLVED = "convolved"
"""What of a residual block may be kept where the rest is recomputed: its first convolution's output.
All else of a block is normalisation and activation, or not needed for the gradient."""
KeysValues = tuple[Float[Array, "batch _n _c"], Float[Array, "batch _n _c"]]


def sinusoids(t: Num[Array, "batch"], width: int, period: float = 1e4) -> Float[Array, "batch w"]:
    """Transformer sinusoids of the time step, [cos | sin] (Ho et al. 2020)."""
    frequency = jnp.exp(-math.log(period) * jnp.arange(width // 2) / (width // 2))
    angle = t.astype(jnp.float32)[:, None] * frequency
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=-1)


def group_norm(
    channels: int, groups: int, name: str | None = None, epsilon: float = 1e-5
) -> GroupNorm:
    """GroupNorm in float32 whatever the compute type; groups shrink to divide the channels."""
    return GroupNorm(math.gcd(groups, channels), epsilon, name=name)


def space_to_depth(x: Float[Array, "b h w c"], patch: int) -> Float[Array, "b h2 w2 c2"]:
    """Folds patches of patch x patch pixels into channels."""
    return rearrange(x, "b (h p) (w q) c -> b h w (p q c)", p=patch, q=patch)


def depth_to_space(x: Float[Array, "b h w c"], patch: int) -> Float[Array, "b h2 w2 c2"]:
    """Undoes `space_to_depth`."""
    return rearrange(x, "b h w (p q c) -> b (h p) (w q) c", p=patch, q=patch)


def resample(x: Float[Array, "b h w c"], direction: str) -> Float[Array, "b h2 w2 c"]:
    """Halves by average pooling ("down"), doubles by nearest neighbour ("up"), or neither."""
    if direction == "down":
        return nn.avg_pool(x, (2, 2), (2, 2))
    if direction == "up":
        return x.repeat(2, axis=1).repeat(2, axis=2)
    return x


class Dropout(nn.Module):
    """Dropout whose masks are drawn a sample, from its own key and the layer's place in the network.

    So they depend neither on the other samples nor on how many devices share them.

    Attributes:
      rate: probability of dropping an activation; the others are scaled by 1 / (1 - rate).
    """

    rate: float

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch h w c"], keys: Key[Array, "batch"] | None
    ) -> Float[Array, "batch h w c"]:
        """Drops activations; without keys none."""
        if keys is None or self.rate == 0:
            return x
        layer = zlib.crc32("/".join(self.path).encode())
        kept = jax.vmap(lambda key: jax.random.bernoulli(
            jax.random.fold_in(key, layer), 1 - self.rate, x.shape[1:]))(keys)
        return jnp.where(kept, x / (1 - self.rate), jnp.zeros_like(x))


class ResBlock(nn.Module):
    """Residual block, optionally resampling by 2 and conditioned on an embedding.

    Attributes:
      channels: output channels.
      resample: "none", "down" (average pooling) or "up" (nearest neighbour).
      dropout: probability of dropping an activation before the last convolution.
      groups: groups of the normalisation.
      dtype: compute type of the convolutions; parameters and normalisation stay float32.
      epsilon: of the normalisation.
    """

    channels: int
    resample: str = "none"
    dropout: float = 0.0
    groups: int = 32
    dtype: Dtype = jnp.float32
    epsilon: float = 1e-5

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch h w c"],
        embedding: Float[Array, "batch e"] | None = None,
        dropout_keys: Key[Array, "batch"] | None = None,
    ) -> Float[Array, "batch h2 w2 c2"]:
        h = nn.silu(group_norm(x.shape[-1], self.groups, "norm_in", self.epsilon)(x)).astype(self.dtype)
        h, x = resample(h, self.resample), resample(x, self.resample)
        h = Conv(self.channels, (3, 3), dtype=self.dtype, name="conv_in")(h)
        h = checkpoint_name(h, CONVOLVED)
        h = group_norm(self.channels, self.groups, "norm_out", self.epsilon)(h)
        if embedding is not None:
            scale_shift = nn.Dense(2 * self.channels, name="embedding")(nn.silu(embedding))
            scale, shift = jnp.split(scale_shift[:, None, None, :], 2, axis=-1)
            h = h * (1 + scale) + shift
        h = nn.silu(h).astype(self.dtype)
        h = Dropout(self.dropout)(h, dropout_keys)
        h = Conv(self.channels, (3, 3), dtype=self.dtype, name="conv_out",
                 kernel_init=nn.initializers.zeros)(h)
        if x.shape[-1] != self.channels:
            x = Conv(self.channels, (1, 1), dtype=self.dtype, name="skip")(x)
        return x + h


def attention_kernel(kernel: Kernel, width: int, dtype: Dtype) -> Literal["xla", "cudnn"]:
    """Who computes attention for heads of a width: "auto" takes cuDNN's where a GPU is and it can.

    It can where the type has 16 bits and a head up to 128 channels, a multiple of 8.
    """
    if kernel != "auto":
        return kernel
    fits = jnp.dtype(dtype).itemsize == 2 and width <= 128 and width % 8 == 0
    return "cudnn" if fits and jax.default_backend() == "gpu" else "xla"


class CrossAttention(nn.Module):
    """F_out = W softmax(Q K^T / sqrt(C)) V + F_in (docs/method.md, equation 3; PIDM section 3.2).

    Keys and values depend on the source alone, so they are made once a picture by `keys_values` and
    reused by every sampling step. Queries are normalised, keys and values are not (as in PIDM).

    Attributes:
      channels: width of queries, keys and values.
      heads: number of heads; `channels` must be a multiple of it.
      groups: groups of the normalisation.
      dtype: compute type; the softmax is float32.
      kernel: who computes it, see `attention_kernel`.
    """

    channels: int
    heads: int = 1
    groups: int = 32
    dtype: Dtype = jnp.float32
    kernel: Kernel = "auto"

    def setup(self):
        self.norm = group_norm(self.channels, self.groups)
        self.query = nn.Dense(self.channels, dtype=self.dtype)
        self.key = nn.Dense(self.channels, dtype=self.dtype)
        self.value = nn.Dense(self.channels, dtype=self.dtype)
        self.out = nn.Dense(self.channels, dtype=self.dtype, kernel_init=nn.initializers.zeros)

    def keys_values(self, features: Float[Array, "batch h w c"]) -> KeysValues:
        """Projects the (aligned) source features."""
        tokens = rearrange(features, "b h w c -> b (h w) c")
        return self.key(tokens), self.value(tokens)

    def __call__(
        self, x: Float[Array, "batch h w c"], keys_values: KeysValues
    ) -> Float[Array, "batch h w c"]:
        batch, h, w, channels = x.shape

        def split(tokens):
            return rearrange(tokens, "b n (heads c) -> b n heads c", heads=self.heads)

        query = self.query(rearrange(self.norm(x), "b h w c -> b (h w) c").astype(self.dtype))
        key, value = keys_values
        attended = jax.nn.dot_product_attention(
            split(query), split(key), split(value), implementation=attention_kernel(
                self.kernel, channels // self.heads, self.dtype))
        out = self.out(attended.reshape(batch, h * w, channels))
        return x + out.reshape(x.shape)
