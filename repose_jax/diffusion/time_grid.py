"""Where in time the denoiser is evaluated (docs/method.md, equation 27)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Int

from repose_jax.diffusion.schedule import Schedule

TimeGrid = Literal["uniform", "trailing", "log-snr", "karras"]

_RHO = 7.0
"""Exponent of Karras et al. 2022, equation 5: how much denser the grid is where noise is low."""


def time_grid(
    schedule: Schedule, kind: TimeGrid, count: int, start: float = 1.0
) -> Int[np.ndarray, "count"]:
    """Time steps from the noisiest one down, strictly decreasing.

      "uniform"   evenly spaced in t, both ends included: the last is step 0
      "trailing"  evenly spaced in t, the noisiest end included, the other not
      "log-snr"   evenly spaced in log(abar / (1 - abar)), both ends included
      "karras"    evenly spaced in sigma^(1/7), sigma^2 = (1 - abar) / abar, both ends included

    The last two are rounded to the nearest steps that there are; where several would be the same
    step, which happens where it is nearly clean, the earlier ones move up.

    Args:
      schedule: the forward process.
      kind: see above.
      count: how many.
      start: largest share of noise, 1 - abar, to begin with; 1 begins at T-1.

    Raises:
      ValueError: if there are not as many time steps.
    """
    if kind == "uniform":
        return schedule.spaced(count, start)
    top = int(schedule.spaced(1, start)[0])  # also tells whether there is such a step
    if not 1 <= count <= top + 1:
        raise ValueError(f"steps must be between 1 and {top + 1}, not {count}")
    if kind == "trailing":
        return np.round(np.arange(count, 0, -1) * (top + 1) / count).astype(np.int32) - 1
    abar = schedule.alpha_bars()[:top + 1]
    if kind == "log-snr":
        axis = np.log1p(-abar) - np.log(abar)
    else:
        axis = ((1 - abar) / abar) ** (0.5 / _RHO)
    # Along the axis noise grows with t, as np.interp wants it.
    wanted = np.linspace(axis[-1], axis[0], count)
    times = np.interp(wanted, axis, np.arange(top + 1)).round().astype(np.int64)
    # From the clean end, each at least one above the next; from the noisy end, room for the rest.
    places = np.arange(count)
    times = np.maximum.accumulate((times + places)[::-1])[::-1] - places
    return np.minimum(times, top - places).astype(np.int32)
