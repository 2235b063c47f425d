"""Progressive distillation: one step of a student for several of its teacher (docs/method.md, 38).

Salimans & Ho 2022: the student is asked for the clean picture with which one DDIM step lands where
the teacher's steps do. It stays a denoiser that predicts clean pictures, so that gradient guidance and
every sampler work on it as before.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from repose_jax.diffusion.prediction import Denoiser, from_x0
from repose_jax.diffusion.samplers import DDIM
from repose_jax.diffusion.schedule import Schedule

# Weights of a squared error: at least 1, as where there is only noise nothing else would count, and at
# most 5, as where there is hardly any nothing is left to learn.
_LEAST, _MOST = 1.0, 5.0


def stops(times: Int[np.ndarray, "steps"], substeps: int) -> Int[np.ndarray, "steps stops"]:
    """Where the teacher stops on its way from each of the student's times to the next.

    Args:
      times: of the student's steps, decreasing; after the last comes the clean picture, -1.
      substeps: steps of the teacher for one of the student.

    Returns:
      `substeps` + 1 time steps each, both ends included; some are the same where there are not as many.
    """
    ends = np.append(times[1:], -1)
    shares = np.arange(substeps + 1) / substeps
    return np.round(times[:, None] + shares * (ends - times)[:, None]).astype(np.int32)


def landed(
    teacher: Denoiser, schedule: Schedule, y: Float[Array, "batch h w c"],
    way: Int[Array, "batch stops"], *, clip: bool = True,
) -> Float[Array, "batch h w c"]:
    """Where deterministic DDIM steps of a teacher lead.

    Args:
      teacher: the denoiser.
      schedule: the forward process.
      y: noisy pictures at the first stop.
      way: time steps of each picture, not increasing.
      clip: keep every predicted clean picture in [-1, 1], as in sampling.
    """
    def step(y, pair):
        t, to = pair
        prediction = teacher(y, jnp.maximum(t, 0))
        if clip:
            prediction = from_x0(jnp.clip(prediction.x0, -1, 1), y, schedule.alpha_bar(t))
        moved = DDIM().update(schedule, prediction, y, t, to, jnp.zeros_like(y))
        return jnp.where((t > to)[:, None, None, None], moved, y), None

    return jax.lax.scan(step, y, (way[:, :-1].T, way[:, 1:].T))[0]


def aim(
    schedule: Schedule, y: Float[Array, "batch h w c"], end: Float[Array, "batch h w c"],
    t: Int[Array, "batch"], to: Int[Array, "batch"],
) -> Float[Array, "batch h w c"]:
    """The clean picture with which one DDIM step leads from `y` at time t to `end` at time `to`."""
    now, then = schedule.alpha_bar(t), schedule.alpha_bar(to)
    left = jnp.sqrt((1 - then) / (1 - now))  # of the noise
    return (end - left * y) / (jnp.sqrt(then) - jnp.sqrt(now) * left)


def distillation_loss(
    x0: Float[Array, "batch h w c"], aimed: Float[Array, "batch h w c"],
    abar: Float[Array, "batch 1 1 1"],
) -> Float[Array, "batch"]:
    """Squared error of the student's clean picture, weighted by the signal's share to the noise's
    within [1, 5]."""
    weight = jnp.clip(abar / (1 - abar), _LEAST, _MOST)
    return jnp.mean(weight * (x0 - aimed) ** 2, axis=(1, 2, 3))
