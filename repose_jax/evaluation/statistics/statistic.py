"""From what was kept of each picture to the number of the set: the second half of every metric.

Values of pictures are accumulated batch by batch; a statistic finishes them. The mean and the
correlation depend on people's sums only and have an interval; what compares whole sets has none: a
resampled set repeats pictures, which alone makes it more distant from any other.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
from jaxtyping import Float

from repose_jax.evaluation.statistics.bootstrap import Bootstrap, Interval

Kept = Float[np.ndarray, "pictures *channels"]
UNKNOWN = Interval(math.nan, math.nan, math.nan)


class Statistic(Protocol):
    """A number of a set of pictures, and its paired difference to that of another set."""

    def of(self, kept: Kept, people: Bootstrap) -> Interval:
        """The number; `UNKNOWN` where there are too few pictures. Everything kept is finite."""

    def difference(self, kept: Kept, other: Kept, people: Bootstrap) -> Interval:
        """That of `kept` minus that of `other`, which is of the same pairs in the same order."""


@dataclasses.dataclass(frozen=True)
class Mean:
    """Over the pictures, of one value each."""

    def of(self, kept: Kept, people: Bootstrap) -> Interval:
        return people.mean(kept)

    def difference(self, kept: Kept, other: Kept, people: Bootstrap) -> Interval:
        return people.difference(kept, other)


@dataclasses.dataclass(frozen=True)
class Correlation:
    """Of the first half of the channels with the second, averaged over the channels."""

    def of(self, kept: Kept, people: Bootstrap) -> Interval:
        x, y = np.split(kept, 2, 1)
        return people.correlation(x, y) if len(kept) > 2 else UNKNOWN

    def difference(self, kept: Kept, other: Kept, people: Bootstrap) -> Interval:
        """The first half is that of `kept` in both."""
        if len(kept) < 3:
            return UNKNOWN
        x, y = np.split(kept, 2, 1)
        return people.correlation_difference(x, y, np.split(other, 2, 1)[1])


@dataclasses.dataclass(frozen=True)
class OfSet:
    """Any function of all that was kept; NaN where it cannot be told."""

    function: Callable[[Kept], float]

    def of(self, kept: Kept, people: Bootstrap) -> Interval:
        return Interval(self.function(kept), math.nan, math.nan)

    def difference(self, kept: Kept, other: Kept, people: Bootstrap) -> Interval:
        return Interval(self.function(kept) - self.function(other), math.nan, math.nan)
