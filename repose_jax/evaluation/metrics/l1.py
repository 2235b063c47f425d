"""Mean absolute error, a value per picture, on the device."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from repose_jax.evaluation.metrics.metric import Metric


@jax.jit
def l1(
    a: Float[Array, "batch height width channels"],
    b: Float[Array, "batch height width channels"],
) -> Float[Array, "batch"]:
    """Mean of |a - b| of pictures in [0, 1] (half of what pictures in [-1, 1] would give)."""
    error = jnp.asarray(a, jnp.float32) - jnp.asarray(b, jnp.float32)
    return jnp.abs(error).mean((1, 2, 3))


METRIC = Metric("l1", "L1", "lower",
                lambda batch: l1(batch.on_devices("generated"), batch.on_devices("target")))
