"""Samplers of higher order that use the denoiser's earlier answers (docs/method.md, equation 28).

With a = sqrt(abar), s = sqrt(1 - abar) and half the log signal-to-noise ratio l = log(a / s), the
probability flow from time t to time u is exactly

  y_u = (s_u / s_t) y_t + s_u * integral from l_t to l_u of exp(l) x0(l) dl

(Lu et al. 2022). A solver puts a polynomial through the few x0 that it has seen in place of x0(l).
What it does is therefore linear in pictures that it holds, and its coefficients follow from the times
alone: they are a table, computed in float64 before anything is traced, with a row an evaluation.

  DPMSolver  DPM-Solver++(2M): the last two x0; second order, one evaluation a step
  UniPC      the same predictor; each new x0 first corrects the step that led to it; third order,
             one evaluation a step (Zhao et al. 2023)
  Heun       a trial step with one x0, then the step with the line through both; second order, two
             evaluations a step, no history

Heun's method as Karras et al. 2022 write it averages slopes in sigma. It is written here in l, where
it is stable for long steps from pure noise: a schedule whose sigma falls from 20,000 to 10 in one
step, as the cosine schedule does in few-step sampling, multiplies any disagreement of the two x0 by
sigma_t / sigma_u there.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from repose_jax.diffusion.schedule import Schedule

_Y, _KEPT, _X0, _LAST, _OLDER = range(5)
"""Columns of a table: y here, y kept from the step before, x0 here, x0 before, x0 before that."""

_MOST = 0.5
"""Share of the last change of x0 by which a predictor goes beyond the newest: that of equal steps.
A step much longer than the last one, as the uniform grid's last is in l, would overshoot; on a grid
that gets finer neighbouring steps become equal, and the order is what it was."""


class Memory(NamedTuple):
    """What a solver keeps from one evaluation to the next.

    Attributes:
      kept: y at the time of the last evaluation, corrected where the solver corrects.
      last, older: x0 of the last evaluation and of that before it.
    """

    kept: Float[Array, "batch h w c"]
    last: Float[Array, "batch h w c"]
    older: Float[Array, "batch h w c"]


@runtime_checkable
class Solver(Protocol):
    """A deterministic sampler that is linear in what it has seen."""

    def places(self, count: int) -> Int[np.ndarray, "count"]:
        """Which point of the time grid each of so many evaluations is made at."""
        ...

    def table(
        self, schedule: Schedule, times: Int[np.ndarray, "count"]
    ) -> Float[np.ndarray, "count 2 5"]:
        """Coefficients of (y, kept, x0, last, older) for evaluations at these time steps.

        Of each evaluation the first row gives the y that is kept, at its own time; the second the y
        that the next evaluation is made of. The last one's is the clean picture.
        """
        ...


def start(y: Float[Array, "batch h w c"]) -> Memory:
    """The memory before the first evaluation, of which no table takes anything."""
    return Memory(y, jnp.zeros_like(y), jnp.zeros_like(y))


def update(
    row: Float[Array, "2 5"],
    x0: Float[Array, "batch h w c"],
    y: Float[Array, "batch h w c"],
    memory: Memory,
) -> tuple[Float[Array, "batch h w c"], Memory]:
    """One evaluation's step: the next y, and what is kept."""
    held = (y, memory.kept, x0, memory.last, memory.older)
    kept, following = (sum(c * each for c, each in zip(row[i], held, strict=True)) for i in (0, 1))
    return following, Memory(kept, x0, memory.last)


class _OncePerStep:
    """A solver with one evaluation a step, whose table is made evaluation by evaluation."""

    def places(self, count):
        return np.arange(count)

    def table(self, schedule, times):
        noise = _Noise(schedule, times)
        table = np.zeros((len(times), 2, 5))
        for i, (kept, following) in enumerate(table):
            self._fill(noise, i, kept, following)
        return table

    def _fill(self, noise: _Noise, i: int, kept: np.ndarray, following: np.ndarray) -> None:
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, kw_only=True)
class DPMSolver(_OncePerStep):
    """DPM-Solver++(2M), Lu et al. 2022b, algorithm 2; its first step and its last are DDIM's.

    Where steps grow in l it goes no further beyond the newest x0 than equal steps would.
    """

    def _fill(self, noise, i, kept, following):
        kept[_Y] = 1
        _predict(following, noise, i)


@dataclasses.dataclass(frozen=True, kw_only=True)
class UniPC(_OncePerStep):
    """UniPC-2, Zhao et al. 2023, algorithms 1 and 2.

    The corrector's coefficients solve the paper's linear system, which makes them the exact
    integral of the parabola through three x0 and leaves nothing of the choice of B(h).
    """

    def _fill(self, noise, i, kept, following):
        if i:
            kept[_KEPT], weights = noise.integral(i - 1, i, [i, i - 1, i - 2][:i + 1])
            kept[_X0:_X0 + len(weights)] = weights
        else:
            kept[_Y] = 1
        _predict(following, noise, i)
        # From the corrected y, not from the y that the evaluation was made of.
        following += following[_Y] * (kept - np.eye(5)[_Y])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heun:
    """Heun's method in l: two evaluations a step, but for the last, and for the one before it where
    the number of evaluations is even."""

    def places(self, count):
        return (np.arange(count) + 1) // 2

    def table(self, schedule, times):
        points = times[np.append(0, np.arange(1, len(times), 2))]
        noise = _Noise(schedule, points)
        table = np.zeros((len(times), 2, 5))
        for i in range(len(times)):
            kept, following = table[i]
            point = (i + 1) // 2
            if i == len(times) - 1:
                following[_X0] = kept[_Y] = 1
            elif i % 2 == 0:
                kept[_Y] = 1
                following[_Y], (following[_X0],) = noise.integral(point, point + 1, [point])
            else:
                following[_KEPT], weights = noise.integral(point - 1, point, [point, point - 1])
                following[_X0:_X0 + 2] = weights
                kept[:] = following
        return table


class _Noise:
    """The noise at chosen time steps, float64."""

    def __init__(self, schedule: Schedule, times: np.ndarray):
        abar = schedule.alpha_bars()[times]
        self.signal, self.noise = np.sqrt(abar), np.sqrt(1 - abar)
        self.log_ratio = np.log(self.signal) - np.log(self.noise)

    def integral(
        self, begin: int, end: int, nodes: list[int]
    ) -> tuple[float, Float[np.ndarray, "nodes"]]:
        """The flow's step between two points, x0(l) the polynomial through some nodes.

        Returns:
          (coefficient of y at the beginning, of x0 at each node).
        """
        h = self.log_ratio[end] - self.log_ratio[begin]
        # Moments of u = l - l_begin under exp(u - h) over 0..h, by parts.
        moments = [-np.expm1(-h)]
        for power in range(1, len(nodes)):
            moments.append(h**power - power * moments[-1])
        places = self.log_ratio[nodes] - self.log_ratio[begin]
        weights = np.linalg.solve(np.vander(places, increasing=True).T, moments)
        return self.noise[end] / self.noise[begin], self.signal[end] * weights


def _predict(row: np.ndarray, noise: _Noise, i: int) -> None:
    """Fills the row of DPM-Solver++(2M)'s step from evaluation i to the next, or to the end."""
    if i == len(noise.signal) - 1:
        row[_X0] = 1
        return
    row[_Y], (weight,) = noise.integral(i, i + 1, [i])
    ahead = 0.0
    if i:
        before, after = np.diff(noise.log_ratio[i - 1:i + 2])
        ahead = min(after / (2 * before), _MOST)
    row[_X0], row[_LAST] = weight * (1 + ahead), -weight * ahead
