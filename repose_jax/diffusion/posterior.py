"""The forward process seen backwards, the clean picture known (docs/method.md, equation 9)."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from repose_jax.diffusion.schedule import Schedule


def posterior(
    schedule: Schedule,
    x0: Float[Array, "batch h w c"],
    y: Float[Array, "batch h w c"],
    t: Int[Array, "batch"],
    to: Int[Array, "batch"],
) -> tuple[
    Float[Array, "batch h w c"], Float[Array, "batch 1 1 1"], Float[Array, "batch 1 1 1"]
]:
    """q(y_to | y_t, x0): its mean, its log variance, and the log variance of the forward step."""
    now, then = schedule.alpha_bar(t), schedule.alpha_bar(to)
    alpha = now / then
    beta = 1 - alpha
    variance = beta * (1 - then) / (1 - now)
    mean = (jnp.sqrt(then) * beta / (1 - now)) * x0 + (jnp.sqrt(alpha) * (1 - then) / (1 - now)) * y
    return mean, jnp.log(jnp.maximum(variance, 1e-20)), jnp.log(jnp.maximum(beta, 1e-20))
