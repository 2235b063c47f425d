"""The "MAE" of the scripts of GFLA and PIDM, which is no mean absolute error."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from repose_jax.evaluation.metrics.metric import Facts, MetricFamily, Score


@jax.jit
def mae(
    a: Float[Array, "batch height width channels"],
    b: Float[Array, "batch height width channels"],
) -> Float[Array, "batch"]:
    """Sum of |a - b| over the sum of a + b, of pictures in [0, 1], a value in [0, 1] per picture.

    `compare_mae` of script/metrics.py of RenYurui/Global-Flow-Local-Attention, the same in PIDM's
    utils/metrics.py. Dark pictures weigh more than in `l1`; NaN where both are black throughout.
    """
    a, b = jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)
    return jnp.abs(a - b).sum((1, 2, 3)) / (a + b).sum((1, 2, 3))


METRIC = MetricFamily("pixels", {"mae": Facts("MAE, |a - b| / (a + b)", "lower")}, lambda by: [
    Score("mae", lambda batch: mae(batch.on_devices("generated"), batch.on_devices("target")))
] if by.mae else [])
