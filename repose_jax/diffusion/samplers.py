"""Samplers: from noise to a picture, one `lax.scan` a segment (docs/method.md, equation 11).

A sampler is three functions, init / update / finalize; the driver `sample` scans over the time
steps. The schedule may be cut into static segments, each with a denoiser of its own: a step that is
not guided then costs nothing for guidance, which a `where` on a guidance weight could not achieve.

Noise comes from one key for each picture, so a picture depends neither on its neighbours in the
batch nor on the number of devices.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from repose_jax.diffusion.prediction import Denoiser, Prediction, from_x0
from repose_jax.diffusion.schedule import Schedule


@runtime_checkable
class Sampler(Protocol):
    """One step of a reverse process."""

    def update(
        self,
        schedule: Schedule,
        prediction: Prediction,
        y: Float[Array, "batch h w c"],
        t: Int[Array, "batch"],
        to: Int[Array, "batch"],
        noise: Float[Array, "batch h w c"],
    ) -> Float[Array, "batch h w c"]:
        """y at time `to` from y at time t; `to` is -1 for the clean picture."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class DDIM:
    """Song et al. 2021, equation 12.

    Attributes:
      eta: 0 is deterministic; 1 has the noise of the ancestral sampler.
    """

    eta: float = 0.0

    def update(self, schedule, prediction, y, t, to, noise):
        now, then = schedule.alpha_bar(t), schedule.alpha_bar(to)
        spread = self.eta * jnp.sqrt((1 - then) / (1 - now) * (1 - now / then))
        direction = jnp.sqrt(jnp.maximum(1 - then - spread**2, 0.0))
        return jnp.sqrt(then) * prediction.x0 + direction * prediction.epsilon + spread * noise


@dataclasses.dataclass(frozen=True, kw_only=True)
class DDPM:
    """Ancestral sampling (Ho et al. 2020, equations 6 and 7) on any subsequence of the steps.

    With a learned variance, its logarithm is interpolated between the posterior's and the forward
    step's (Nichol & Dhariwal 2021, equation 15); otherwise it is the posterior's.
    """

    def update(self, schedule, prediction, y, t, to, noise):
        mean, log_low, log_high = posterior(schedule, prediction.x0, y, t, to)
        log_variance = log_low
        if prediction.variance is not None:
            log_variance = prediction.variance * log_high + (1 - prediction.variance) * log_low
        last = (to < 0)[:, None, None, None]
        return jnp.where(last, prediction.x0, mean + jnp.exp(0.5 * log_variance) * noise)


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


class Segment(NamedTuple):
    """A stretch of the schedule under one denoiser.

    Attributes:
      denoiser: what is evaluated at each step.
      times: time steps, decreasing, [steps] integers.
    """

    denoiser: Denoiser
    times: np.ndarray


class Step(NamedTuple):
    """What is kept of a step when the trajectory is asked for."""

    t: Int[Array, "batch"]
    x0: Float[Array, "batch h w c"]
    info: dict[str, Any]


def initial_noise(
    keys: Key[Array, "batch"], shape: tuple[int, int, int]
) -> Float[Array, "batch h w c"]:
    """y_T of (height, width, channels), one key for each picture."""
    return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)


def sample(
    segments: Sequence[Segment],
    schedule: Schedule,
    sampler: Sampler,
    keys: Key[Array, "batch"],
    shape: tuple[int, int, int],
    *,
    clip: bool = True,
    trajectory: bool = False,
    start: Float[Array, "batch h w c"] | None = None,
) -> tuple[Float[Array, "batch h w c"], list[Step]]:
    """Runs the reverse process.

    Args:
      segments: in order; together they cover the time steps from the first to the last.
      schedule: the forward process.
      sampler: DDIM or DDPM.
      keys: one for each picture; it decides y_T and all later noise.
      shape: (height, width, channels) of a picture or of what stands for it.
      clip: keep every predicted clean picture in [-1, 1].
      trajectory: also return every step's prediction and info, stacked a segment.
      start: pictures to refine: the process begins with them, noised to the first time step, as
        truncated diffusion does; None begins with noise alone.

    Returns:
      (pictures in [-1, 1], one `Step` a segment with a leading axis over steps; empty unless
      `trajectory`).
    """
    y = initial_noise(keys, shape)
    times = np.concatenate([np.asarray(segment.times) for segment in segments])
    if start is not None:
        y = schedule.noised(start, y, jnp.full(y.shape[0], times[0]))
    following = np.concatenate([times[1:], [-1]])
    done, kept = 0, []
    for segment in segments:
        count = len(segment.times)
        steps = jnp.stack([times[done:done + count], following[done:done + count]], axis=1)
        done += count

        def step(y, pair, denoiser=segment.denoiser):
            t, to = (jnp.full(y.shape[0], time) for time in pair)
            prediction = denoiser(y, t)
            if clip:
                abar = schedule.alpha_bar(t)
                prediction = from_x0(jnp.clip(prediction.x0, -1, 1), y, abar,
                                     prediction.variance, prediction.info)
            noise = jax.vmap(
                lambda key: jax.random.normal(jax.random.fold_in(key, pair[0]), y.shape[1:]))(keys)
            out = Step(t, prediction.x0, prediction.info) if trajectory else None
            return sampler.update(schedule, prediction, y, t, to, noise), out

        y, out = jax.lax.scan(step, y, steps)
        if trajectory:
            kept.append(out)
    return (jnp.clip(y, -1, 1) if clip else y), kept
