"""A re-identification network: whose picture is it? (docs/method.md, equation 21)

A residual network makes a vector of each picture, near for one person and far for two. It is the
judge of identity, and its features are those of a Frechet distance for pictures of people.

The loss is the cross-entropy over the training people on scaled cosines (Wang et al. 2017,
NormFace) with smoothed labels, so that the vectors are trained by the very similarity by which they
are compared. The vectors are standardised first (the "neck" of Luo et al. 2019), in training by the
batch, else by stored moments of the training pictures, see `repose_jax.tasks.reid`: without, what
all pictures share fills the vectors and the network hardly begins to learn. The batch-hard triplet
loss that is usual beside it (Hermans et al. 2017) drew all vectors of this network to one point.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from repose_jax.common.ranges import Depth, Positive, Side, Width, check_fields
from repose_jax.networks.blocks import ResBlock, group_norm, space_to_depth
from repose_jax.networks.conv import Conv

Params = Any

_SCALE = 20.0  # of the cosines: with much less the softmax cannot become sure among 751 people
_SMOOTHING = 0.1
_TINY = 1e-12


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReidConfig:
    """Everything that decides the shape of the parameters.

    Attributes:
      image_size: (height, width) of the pictures; multiples of patch * 2^(levels - 1).
      people: how many people it is trained on.
      channels: channels of each level, finest first.
      blocks: residual blocks a level.
      patch: pixels a side of a cell of the finest level.
      parts: horizontal stripes that are pooled apart, so that head, torso and legs stay told apart.
      embedding: length of the vector.
      groups: groups of GroupNorm.
    """

    image_size: tuple[Side, Side] = (128, 64)
    people: Positive = 751
    channels: tuple[Width, ...] = (48, 96, 192)
    blocks: Depth = 2
    patch: Depth = 4
    parts: Depth = 4
    embedding: Width = 256
    groups: Width = 8

    def __post_init__(self):
        check_fields(self, "reid")


@flax.struct.dataclass
class Identity:
    """What the network says of a picture.

    Attributes:
      raw: the vector before it is standardised, [batch, embedding].
      features: the standardised vector, by whose cosine pictures are compared.
      cosines: with the direction of each training person, [batch, people].
    """

    raw: Float[Array, "batch embedding"]
    features: Float[Array, "batch embedding"]
    cosines: Float[Array, "batch people"]


def unit(x: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
    """Vectors of length 1; the gradient is finite at 0."""
    return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + _TINY)


class ReidNetwork(nn.Module):
    """Picture to vector.

    Attributes:
      config: sizes.
    """

    config: ReidConfig

    @nn.compact
    def __call__(
        self, image: Float[Array, "batch height width 3"], train: bool = False
    ) -> Identity:
        """Runs the network.

        Args:
          image: in [-1, 1].
          train: standardise by the batch, so that pictures are not independent; else by the
            parameters "mean" and "deviation", which no gradient reaches.
        """
        cfg = self.config
        h = Conv(cfg.channels[0], (3, 3))(space_to_depth(image, cfg.patch))
        for level, channels in enumerate(cfg.channels):
            for block in range(cfg.blocks):
                down = "down" if level and not block else "none"
                h = ResBlock(channels, resample=down, groups=cfg.groups)(h)
        h = nn.silu(group_norm(h.shape[-1], cfg.groups)(h))
        # Maximum beside mean: what is seen once, a bag or a badge, tells as much as what is wide.
        # A pool, as the gradient of a plain maximum divides by how many equal it: by 0 where a
        # compiler computes the activation twice and rounds differently.
        stripe = (h.shape[1] // cfg.parts, h.shape[2])
        pooled = jnp.concatenate([nn.avg_pool(h, stripe, stripe), nn.max_pool(h, stripe, stripe)],
                                 axis=-1)
        raw = nn.Dense(cfg.embedding)(pooled.reshape(len(h), -1))
        mean = self.param("mean", nn.initializers.zeros, (cfg.embedding,))
        deviation = self.param("deviation", nn.initializers.ones, (cfg.embedding,))
        if train:
            mean, deviation = raw.mean(0), jnp.sqrt(raw.var(0) + 1e-5)
        features = (raw - mean) / deviation
        people = self.param("people", nn.initializers.normal(1.0), (cfg.embedding, cfg.people))
        return Identity(raw, features, unit(features) @ unit(people.T).T)


def fresh_reid(config: ReidConfig) -> Callable[[Key[Array, ""]], Params]:
    """What makes a network's fresh parameters from a key."""
    picture = jnp.zeros((1, *config.image_size, 3))
    return lambda key: ReidNetwork(config).init(key, picture)["params"]


def cross_entropy(
    cosines: Float[Array, "batch people"], person: Int[Array, "batch"], margin: float = 0.0
) -> Float[Array, "batch"]:
    """Cross-entropy of scaled cosines with labels smoothed by .1.

    Args:
      cosines: with the direction of each training person.
      person: whose picture it is.
      margin: taken from the cosine with the right person, who is then to be told from the others by as
        much (CosFace, Wang et al. 2018).
    """
    right = jax.nn.one_hot(person, cosines.shape[1])
    log = jax.nn.log_softmax(_SCALE * (cosines - margin * right))
    return -(1 - _SMOOTHING) * (log * right).sum(1) - _SMOOTHING * log.mean(1)
