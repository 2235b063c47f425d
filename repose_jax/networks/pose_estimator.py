"""A differentiable pose estimator that knows the noise level (docs/method.md, equation 12).

It reads the pose off a denoiser's guess at the clean picture, from pure noise to the finished
picture, so that the guess can be moved by the gradient of a pose's error. A small U-Net gives each
joint a heatmap; softmax makes it a distribution over the cells, whose mean is the joint (integral
regression, Sun et al. 2018) and whose spread says how sure that is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from repose_jax.common.ranges import Depth, Side, Width, check_fields
from repose_jax.networks.blocks import ResBlock, group_norm, resample, sinusoids, space_to_depth
from repose_jax.networks.conv import Conv
from repose_jax.pose.cells import grid
from repose_jax.pose.skeleton import SKELETONS, Skeleton

Params = Any

# Spread, as a fraction of the picture's height, at which a joint counts half.
_SURE = 0.05
# Cells to each side of the peak that `peak` averages over.
_REACH = 1.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class EstimatorConfig:
    """Everything that decides the shape of the parameters.

    Attributes:
      image_size: (height, width) of the pictures that it learnt from; multiples of patch *
        2^(levels - 1).
      skeleton: name of the skeleton of the poses.
      channels: channels of each level, finest first.
      blocks: residual blocks a level, going down and going up.
      patch: pixels a side of a cell of the heatmaps.
      groups: groups of GroupNorm.
    """

    image_size: tuple[Side, Side] = (128, 64)
    skeleton: str = "market14"
    channels: tuple[Width, ...] = (48, 96, 128)
    blocks: Depth = 1
    patch: Depth = 4
    groups: Width = 8

    def __post_init__(self):
        check_fields(self, "estimator")

    def enlarged(self, size: Sequence[int]) -> int:
        """How many times `image_size` pictures of (height, width) are: they can be read by the means of
        so many pixels a side. 0 where they are no whole number of times as large, both ways alike."""
        times = size[0] // self.image_size[0]
        return times if tuple(size) == tuple(times * side for side in self.image_size) else 0


@flax.struct.dataclass
class Heatmaps:
    """What the network says of a picture.

    Attributes:
      logits: of each joint's place, [batch, h, w, joints]; softmax over the cells.
      shown: logit of the joint being in the picture at all, [batch, joints].
    """

    logits: Float[Array, "batch h w joints"]
    shown: Float[Array, "batch joints"]


@flax.struct.dataclass
class PoseEstimate:
    """Poses with their certainty.

    Attributes:
      xy: [batch, joints, 2], pixels of the picture.
      confidence: [batch, joints] in [0, 1]: probability of the joint being in the picture, times
        s^2 / (s^2 + variance) with s = 5 % of the picture's height.
    """

    xy: Float[Array, "batch joints 2"]
    confidence: Float[Array, "batch joints"]

    @property
    def pose(self) -> Float[Array, "batch joints 3"]:
        """Poses whose visibility is the confidence."""
        return jnp.concatenate([self.xy, self.confidence[..., None]], axis=-1)


class PoseEstimator(nn.Module):
    """Picture and noise level to heatmaps.

    Attributes:
      config: sizes.
    """

    config: EstimatorConfig

    @property
    def skeleton(self) -> Skeleton:
        """Skeleton of the poses."""
        return SKELETONS[self.config.skeleton]

    @nn.compact
    def __call__(
        self, image: Float[Array, "batch height width 3"], noise: Float[Array, "batch"]
    ) -> Heatmaps:
        """Runs the network.

        Args:
          image: a clean picture or a denoiser's guess at one, in [-1, 1] units; one that is a whole
            number of times `image_size` is seen by the means of so many pixels a side.
          noise: sqrt(1 - abar) of the noisy picture that was guessed from; 0 for a real picture.
        """
        cfg = self.config
        width = cfg.channels[0]
        times = cfg.enlarged(image.shape[1:3])
        if times > 1:
            image = nn.avg_pool(image, (times, times), (times, times))

        def block(channels):
            return ResBlock(channels, groups=cfg.groups)

        embedding = nn.Dense(2 * width)(sinusoids(1000 * noise, width))
        h = Conv(width, (3, 3))(space_to_depth(image, cfg.patch))
        skips = []
        for level, channels in enumerate(cfg.channels):
            h = resample(h, "down") if level else h
            for _ in range(cfg.blocks):
                h = block(channels)(h, embedding)
            skips.append(h)
        shown = nn.Dense(len(self.skeleton))(
            nn.silu(group_norm(h.shape[-1], cfg.groups)(h)).mean((1, 2)))
        for level in reversed(range(len(cfg.channels) - 1)):
            h = jnp.concatenate([resample(h, "up"), skips[level]], axis=-1)
            for _ in range(cfg.blocks):
                h = block(cfg.channels[level])(h, embedding)
        h = nn.silu(group_norm(h.shape[-1], cfg.groups)(h))
        return Heatmaps(Conv(len(self.skeleton), (3, 3))(h), shown)


def fresh_estimator(config: EstimatorConfig) -> Callable[[Key[Array, ""]], Params]:
    """What makes an estimator's fresh parameters from a key."""
    picture, noise = jnp.zeros((1, *config.image_size, 3)), jnp.zeros(1)
    return lambda key: PoseEstimator(config).init(key, picture, noise)["params"]


def _moments(
    weight: Float[Array, "batch h w joints"], image_size: tuple[int, int]
) -> tuple[Float[Array, "batch joints 2"], Float[Array, "batch joints"]]:
    """Mean and variance (of x and y together) of distributions over the cells, pixels."""
    points = grid((weight.shape[1], weight.shape[2]), image_size)
    mean = jnp.einsum("bhwj,hwc->bjc", weight, points)
    square = jnp.einsum("bhwj,hw->bj", weight, jnp.sum(points**2, axis=-1))
    return mean, jnp.maximum(square - jnp.sum(mean**2, axis=-1), 0.0)


def _estimate(heatmaps, xy, variance, image_size):
    sure = (_SURE * image_size[0]) ** 2
    return PoseEstimate(xy, nn.sigmoid(heatmaps.shown) * sure / (sure + variance))


def soft_argmax(heatmaps: Heatmaps, image_size: tuple[int, int]) -> PoseEstimate:
    """The mean of each joint's distribution: differentiable, and what guides.

    Where a joint may be in two places its mean lies between them, and moving the mean moves weight
    from one to the other; a peak would stay where it is.
    """
    weight = jax.nn.softmax(heatmaps.logits, axis=(1, 2))
    return _estimate(heatmaps, *_moments(weight, image_size), image_size)


def peak(heatmaps: Heatmaps, image_size: tuple[int, int]) -> PoseEstimate:
    """The mean within a window around each joint's likeliest cell: what is read off a picture.

    The confidence is that of the whole distribution.
    """
    weight = jax.nn.softmax(heatmaps.logits, axis=(1, 2))
    batch, h, w, joints = weight.shape
    best = jnp.argmax(weight.reshape(batch, h * w, joints), axis=1)
    row, column = jnp.divmod(best, w)
    near_row = jnp.abs(jnp.arange(h)[None, :, None] - row[:, None, :]) <= _REACH
    near_column = jnp.abs(jnp.arange(w)[None, :, None] - column[:, None, :]) <= _REACH
    window = weight * (near_row[:, :, None, :] & near_column[:, None, :, :])
    xy, _ = _moments(window / jnp.sum(window, axis=(1, 2), keepdims=True), image_size)
    return _estimate(heatmaps, xy, _moments(weight, image_size)[1], image_size)


def estimator_loss(
    heatmaps: Heatmaps,
    pose: Float[Array, "batch joints 3"],
    image_size: tuple[int, int],
    *,
    sigma: float = 0.75,
    regression: float = 5.0,
) -> tuple[Float[Array, "batch"], dict[str, Float[Array, "batch"]]]:
    """Loss of each picture (docs/method.md, equation 13).

    Cross-entropy between each joint's distribution and a Gaussian around the annotated place, the
    distance of the mean from it (annotations are noisy, so not its square), and cross-entropy of
    the joint being annotated.

    Args:
      heatmaps: of the pictures.
      pose: annotated, pixels; visibility above 0 counts as annotated.
      image_size: of the pictures.
      sigma: of the Gaussian, in cells.
      regression: weight of the distance, which is in heights of the picture.

    Returns:
      (loss, its parts).
    """
    batch, h, w, joints = heatmaps.logits.shape
    known = (pose[..., 2] > 0).astype(jnp.float32)
    cell = image_size[0] / h
    distance2 = jnp.sum(
        (grid((h, w), image_size)[None, :, :, None] - pose[:, None, None, :, :2]) ** 2, axis=-1)
    target = jax.nn.softmax(-distance2 / (2 * (sigma * cell) ** 2), axis=(1, 2))
    log_weight = jax.nn.log_softmax(heatmaps.logits, axis=(1, 2))
    count = jnp.maximum(known.sum(-1), 1.0)
    cross = -jnp.sum(jnp.sum(target * log_weight, axis=(1, 2)) * known, axis=-1) / count
    xy = soft_argmax(heatmaps, image_size).xy
    away = jnp.sqrt(jnp.sum((xy - pose[..., :2]) ** 2, axis=-1) + 1e-2) / image_size[0]
    away = jnp.sum(away * known, axis=-1) / count
    shown = jnp.mean(jnp.logaddexp(0.0, heatmaps.shown) - known * heatmaps.shown, axis=-1)
    parts = {"cross_entropy": cross, "distance": away, "shown": shown}
    return cross + regression * away + shown, parts
