"""Training losses, one value for each picture (docs/method.md, equations 8 and 9)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from repose_jax.diffusion.prediction import SIGMA_DATA, Kind, Prediction, precondition
from repose_jax.diffusion.posterior import posterior
from repose_jax.diffusion.schedule import Schedule


def _mean(x: Float[Array, "batch h w c"]) -> Float[Array, "batch"]:
    return jnp.mean(x, axis=(1, 2, 3))


def denoising_loss(
    kind: Kind,
    prediction: Prediction,
    y0: Float[Array, "batch h w c"],
    noise: Float[Array, "batch h w c"],
    abar: Float[Array, "batch 1 1 1"],
    min_snr: float = 0.0,
) -> Float[Array, "batch"]:
    """Mean squared error in the units of what the network predicts.

    "epsilon": of the noise. "v": of the picture, divided by 1 - abar, which
    is the squared error of v. "preconditioned": divided by c_out^2, the squared error of the
    network's own output where nothing is copied (Karras et al. 2022, equation 8). "x0": the same
    weight, but at most 5 times that of pure noise (after Hang et al. 2023, min-SNR-5), as the error
    of a plain x0 does not vanish with the noise.

    With `min_snr` above 0 the weight is min(SNR, min_snr) of the picture's squared error whatever is
    predicted, SNR = abar / (1 - abar) (Hang et al. 2023).
    """
    if min_snr:
        snr = abar / jnp.maximum(1 - abar, 1e-6)
        if kind == "epsilon":  # whose squared error is SNR times the picture's
            return _mean(jnp.minimum(1.0, min_snr / jnp.maximum(snr, 1e-12))
                         * (prediction.epsilon - noise) ** 2)
        return _mean(jnp.minimum(snr, min_snr) * (prediction.x0 - y0) ** 2)
    if kind == "epsilon":
        return _mean((prediction.epsilon - noise) ** 2)
    error = (prediction.x0 - y0) ** 2
    if kind == "v":
        error = error / jnp.maximum(1 - abar, 1e-6)
    if kind in ("preconditioned", "x0"):
        _, c_out, _ = precondition(abar)
        least = SIGMA_DATA**2 / 5 if kind == "x0" else 1e-6
        error = error / jnp.maximum(c_out**2, least)
    return _mean(error)


def variational_loss(
    schedule: Schedule,
    prediction: Prediction,
    y0: Float[Array, "batch h w c"],
    y: Float[Array, "batch h w c"],
    t: Int[Array, "batch"],
) -> Float[Array, "batch"]:
    """The term L_t of the variational bound, bits per dimension (Nichol & Dhariwal 2021).

    The Kullback-Leibler divergence from the true reverse step to the predicted one, and at t = 0
    the negative log likelihood of the picture's 8-bit values. Only the variance learns from it: the
    mean is detached.

    Raises:
      ValueError: if the prediction has no variance.
    """
    if prediction.variance is None:
        raise ValueError("the variational loss needs a learned variance")
    x0 = jax.lax.stop_gradient(prediction.x0)
    true_mean, low, high = posterior(schedule, y0, y, t, t - 1)
    mean, _, _ = posterior(schedule, x0, y, t, t - 1)
    # At t = 0 the posterior's variance is 0; the released code takes that of t = 1.
    _, first, _ = posterior(schedule, x0, y, jnp.ones_like(t), jnp.zeros_like(t))
    start = (t == 0)[:, None, None, None]
    low = jnp.where(start, first, low)
    log_variance = prediction.variance * high + (1 - prediction.variance) * low
    divergence = 0.5 * (log_variance - low + jnp.exp(low - log_variance) - 1
                        + (true_mean - mean) ** 2 * jnp.exp(-log_variance))
    likelihood = -_discretised_log_likelihood(y0, mean, 0.5 * log_variance)
    return _mean(jnp.where(start, likelihood, divergence)) / jnp.log(2.0)


def _discretised_log_likelihood(y0, mean, log_scale):
    """Log probability of 8-bit values (in [-1, 1]) under a Gaussian."""
    inverse = jnp.exp(-log_scale)
    upper = jax.scipy.stats.norm.cdf((y0 - mean + 1 / 255) * inverse)
    lower = jax.scipy.stats.norm.cdf((y0 - mean - 1 / 255) * inverse)
    upper = jnp.where(y0 > 0.999, 1.0, upper)
    lower = jnp.where(y0 < -0.999, 0.0, lower)
    return jnp.log(jnp.maximum(upper - lower, 1e-12))
