"""Peak signal-to-noise ratio in decibels, a value per picture, on the device."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from repose_jax.evaluation.metrics.metric import Facts, MetricFamily, Score
from repose_jax.evaluation.metrics.picture_batch import PictureBatch


@jax.jit
def psnr(
    a: Float[Array, "batch height width channels"],
    b: Float[Array, "batch height width channels"],
) -> Float[Array, "batch"]:
    """10 log10(1 / mse) of pictures in [0, 1]; infinite for identical pictures.

    The number of a set is the mean of these values (not the PSNR of the mean error, which is
    smaller).
    """
    error = jnp.asarray(a, jnp.float32) - jnp.asarray(b, jnp.float32)
    return -10 * jnp.log10(jnp.square(error).mean((1, 2, 3)))


def _finite(batch: PictureBatch) -> np.ndarray:
    decibels = np.asarray(psnr(batch.on_devices("generated"), batch.on_devices("target")),
                          np.float64)
    return np.where(np.isfinite(decibels), decibels, np.nan)


METRIC = MetricFamily("pixels", {"psnr": Facts("PSNR (dB)", "higher", 2)}, lambda by: [
    Score("psnr", _finite, unmeasured="pictures identical to their target")])
