"""Samplers: from noise to a picture, one `lax.scan` a segment (docs/method.md, equation 11).

A sampler is a step from one time to an earlier one, or a `Solver`, which also remembers; the driver
`sample` scans over the time steps, each of which is one evaluation of the denoiser. The schedule may
be cut into static segments, each with a denoiser of its own: a step that is not guided then costs
nothing for guidance, which a `where` on a guidance weight could not achieve.

Noise comes from one key for each picture, so a picture depends neither on its neighbours in the
batch nor on the number of devices.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from repose_jax.diffusion import solvers
from repose_jax.diffusion.posterior import posterior
from repose_jax.diffusion.prediction import Denoiser, Prediction, from_x0
from repose_jax.diffusion.schedule import Schedule
from repose_jax.diffusion.solvers import Solver


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


class Segment(NamedTuple):
    """A stretch of the schedule under one denoiser.

    Attributes:
      denoiser: what is evaluated at each step.
      times: time step of each evaluation, [evaluations] integers, decreasing; a solver with several
        evaluations a step has some twice.
    """

    denoiser: Denoiser
    times: np.ndarray


class Step(NamedTuple):
    """What is kept of a step when the trajectory is asked for."""

    t: Int[Array, "batch"]
    x0: Float[Array, "batch h w c"]
    info: dict[str, Any]


Watch = Callable[[Int[Array, ""], Float[Array, "batch h w c"]], Bool[Array, ""]]


def initial_noise(
    keys: Key[Array, "batch"], shape: tuple[int, int, int]
) -> Float[Array, "batch h w c"]:
    """y_T of (height, width, channels), one key for each picture."""
    return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)


def sample(
    segments: Sequence[Segment],
    schedule: Schedule,
    sampler: Sampler | Solver,
    keys: Key[Array, "batch"],
    shape: tuple[int, int, int],
    *,
    clip: bool = True,
    trajectory: bool = False,
    start: Float[Array, "batch h w c"] | None = None,
    temperature: float = 1.0,
    watch: Watch | None = None,
) -> tuple[Float[Array, "batch h w c"], list[Step]]:
    """Runs the reverse process.

    Args:
      segments: in order; together they cover the time steps from the first to the last.
      schedule: the forward process.
      sampler: DDIM, DDPM or a solver, whose evaluations are at `places` of a grid of times.
      keys: one for each picture; it decides y_T and all later noise.
      shape: (height, width, channels) of a picture or of what stands for it.
      clip: keep every predicted clean picture in [-1, 1].
      trajectory: also return every step's prediction and info, stacked a segment.
      start: pictures to refine: the process begins with them, noised to the first time step, as
        truncated diffusion does; None begins with noise alone.
      temperature: what the noise of `start` is multiplied by; below 1 the denoiser, which counts on
        all of it, takes less of what it sees for detail.
      watch: gets the number of each step, from 1, and the clean pictures that it predicts as it is
        done, and says whether to go on; the steps that are left cost nothing once it does not. Without
        `trajectory` only.

    Returns:
      (pictures in [-1, 1], one `Step` a segment with a leading axis over steps; empty unless
      `trajectory`).
    """
    y = initial_noise(keys, shape)
    times = np.concatenate([np.asarray(segment.times) for segment in segments])
    if start is not None:
        y = schedule.noised(start, temperature * y, jnp.full(y.shape[0], times[0]))
    following = np.concatenate([times[1:], [-1]])
    solver = sampler if isinstance(sampler, Solver) else None
    carry: Any = (y, ())
    table = np.zeros((len(times), 0, 0), np.float32)
    if solver is not None:
        carry = y, solvers.start(y)
        table = solver.table(schedule, times).astype(np.float32)
    done, kept, going = 0, [], jnp.array(True)
    for segment in segments:
        count = len(segment.times)
        here = slice(done, done + count)
        steps = jnp.stack([times[here], following[here]], axis=1), jnp.asarray(table[here])
        done += count

        def step(carry, inputs, denoiser=segment.denoiser):
            (y, memory), (pair, row) = carry, inputs
            t, to = (jnp.full(y.shape[0], time) for time in pair)
            prediction = denoiser(y, t)
            if clip:
                abar = schedule.alpha_bar(t)
                prediction = from_x0(jnp.clip(prediction.x0, -1, 1), y, abar,
                                     prediction.variance, prediction.info)
            out = Step(t, prediction.x0, prediction.info) if trajectory or watch else None
            if solver is not None:
                return solvers.update(row, prediction.x0, y, memory), out
            noise = jax.vmap(
                lambda key: jax.random.normal(jax.random.fold_in(key, pair[0]), y.shape[1:]))(keys)
            return (sampler.update(schedule, prediction, y, t, to, noise), memory), out

        if watch is not None:
            counted = jnp.arange(done - count, done) + 1
            carry, going = _watched(step, watch, carry, going, (counted, steps))
            continue
        carry, out = jax.lax.scan(step, carry, steps)
        if trajectory:
            kept.append(out)
    y, _ = carry
    return (jnp.clip(y, -1, 1) if clip else y), kept


def _watched(step, watch: Watch, carry, going: Bool[Array, ""], counted):
    """A scan that is told of every step and no longer steps once `watch` says so."""
    def body(state, inputs):
        number, steps = inputs

        def go(carry):
            carry, out = step(carry, steps)
            return carry, watch(number, out.x0)

        carry, going = state
        return jax.lax.cond(going, go, lambda carry: (carry, jnp.array(False)), carry), None

    return jax.lax.scan(body, (carry, going), counted)[0]
