"""The jackknife that leaves out people: intervals for what compares whole sets of pictures.

A bootstrap repeats pictures, which alone moves a kernel distance; leaving a person out does not. With
T of all n people and T_i of all but person i,

  se^2 = (n - 1) / n sum_i (T_i - mean T)^2

(Tukey 1958; for U-statistics, which a kernel distance is, Arvesen 1969), and T +- 1.96 se.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from repose_jax.evaluation.statistics.bootstrap import Interval, Persons

_TWO_SIDED_95 = 1.959964


def jackknife(statistic: Callable[[Int[np.ndarray, "kept"]], float], persons: Persons) -> Interval:
    """A statistic of a set of pictures with its 95 % interval over people.

    Args:
      statistic: called with the numbers of the pictures that count: all of them, then all but each
        person's. It should be smooth; for a median the interval would be wrong.
      persons: whose each of the pictures is.

    Returns:
      The interval; its ends are NaN where there are fewer than two people.
    """
    labels = np.asarray(persons)
    value = float(statistic(np.arange(len(labels))))
    people = np.unique(labels)
    if len(people) < 2:
        return Interval(value, math.nan, math.nan)
    without = np.array([statistic(np.flatnonzero(labels != person)) for person in people])
    half = _TWO_SIDED_95 * math.sqrt((len(people) - 1) * without.var())
    return Interval(value, value - half, value + half)
