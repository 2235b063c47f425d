"""What training carries from step to step, and the optimizer that moves it.

Everything is counted in images, not steps, so that a schedule means the same at any batch size.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from repose_jax.common.ranges import Natural, Positive, Range, Weight, check_fields

_Rate = Annotated[float, Range(0, 1, open_high=True)]
Params = Any
"""A nested dict of arrays, as `flax.linen.Module.init` gives under "params"."""


@flax.struct.dataclass
class TrainState:
    """All that a step changes.

    Attributes:
      step: updates applied so far; skipped (non-finite) ones do not count.
      params: the parameters that are trained.
      ema: their moving average, always float32; this is what samples well.
      opt_state: what the optimizer keeps.
    """

    step: Int[Array, ""]
    params: Params
    ema: Params
    opt_state: optax.OptState


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How parameters are moved.

    Attributes:
      learning_rate: the highest learning rate, reached at the end of the warm-up.
      warmup_images: images over which the learning rate rises linearly from 0.
      total_images: images at which the decay reaches 0; None is the end of the training.
        "constant" does not use it.
      decay: the course after the warm-up.
      weight_decay: decoupled, on kernels only (arrays of two axes or more).
      betas: Adam's decay rates of the first and second moment.
      eps: Adam's denominator offset.
      clip_norm: gradients are scaled down to this global norm; 0 = never.
      kind: "adam" (AdamW when weight_decay > 0) or plain "sgd".
    """

    learning_rate: Annotated[float, Range(0, open_low=True)] = 1e-4
    warmup_images: Natural = 0
    total_images: Positive | None = None
    decay: Literal["constant", "cosine", "linear"] = "constant"
    weight_decay: Weight = 0.0
    betas: tuple[_Rate, _Rate] = (0.9, 0.999)
    eps: Annotated[float, Range(0, open_low=True)] = 1e-8
    clip_norm: Weight = 1.0
    kind: Literal["adam", "sgd"] = "adam"

    def __post_init__(self):
        check_fields(self, "train.optimizer")


def learning_rate(
    config: OptimizerConfig, batch_size: int, step: int | Int[Array, ""]
) -> float | Float[Array, ""]:
    """The learning rate of the update that follows `step` earlier ones.

    The warm-up counts this update's images, so that the first one already moves; the decay counts
    the images before it, so that the last one still does. A Python `step` is computed with numpy
    and never waits for a device.
    """
    xp = np if isinstance(step, int) else jnp
    seen = xp.asarray(step, np.float32) * np.float32(batch_size)
    warm = xp.minimum(1.0, (seen + batch_size) / max(config.warmup_images, 1))
    if config.decay in ("cosine", "linear") and config.total_images is None:
        raise ValueError("a decay needs the number of images after which it ends")
    span = max((config.total_images or 0) - config.warmup_images, 1)
    progress = xp.clip((seen - config.warmup_images) / span, 0.0, 1.0)
    match config.decay:
        case "constant":
            left = 1.0
        case "cosine":
            left = 0.5 * (1.0 + xp.cos(np.pi * progress))
        case "linear":
            left = 1.0 - progress
        case _:
            raise ValueError(f"unknown decay {config.decay!r}")
    return config.learning_rate * warm * left


def make_optimizer(config: OptimizerConfig, batch_size: int) -> optax.GradientTransformation:
    """Clip, precondition, decay, scale by the schedule, in that order.

    Raises:
      ValueError: `kind` or `decay` is unknown.
    """
    learning_rate(config, batch_size, 0)  # an unknown decay fails here, not while tracing
    parts = []
    if config.clip_norm > 0:
        parts.append(optax.clip_by_global_norm(config.clip_norm))
    if config.kind == "adam":
        parts.append(optax.scale_by_adam(*config.betas, eps=config.eps))
    elif config.kind != "sgd":
        raise ValueError(f"unknown optimizer {config.kind!r}")
    if config.weight_decay > 0:
        parts.append(optax.add_decayed_weights(config.weight_decay, mask=_is_kernel))
    parts.append(optax.scale_by_learning_rate(
        lambda step: learning_rate(config, batch_size, step)))
    return optax.chain(*parts)


def create_state(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step; the average starts at the parameters.

    `params` is copied: a step that donates its state must not take the caller's arrays along.
    """
    params = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), params)
    return TrainState(
        step=jnp.zeros((), jnp.int32), params=params, ema=as_float32(params),
        opt_state=optimizer.init(params))


def as_float32(tree: Params) -> Params:
    """A float32 copy of a tree."""
    return jax.tree.map(lambda leaf: jnp.array(leaf, jnp.float32, copy=True), tree)


def _is_kernel(params: Params) -> Params:
    return jax.tree.map(lambda leaf: leaf.ndim >= 2, params)
