"""Percentile bootstrap that resamples people, not pictures.

Pictures of one person resemble each other, so resampling pictures would give intervals that are too
narrow. Each resample draws as many people as there are, with replacement; a person brings all its
pictures. Means and correlations depend on sums only, so a resample needs no more than the sums of
each person (Efron & Tibshirani 1993, chapter 13; Davison & Hinkley 1997, section 3.8).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

Persons = Sequence[str] | Sequence[int] | np.ndarray
"""Whose each of N pictures is, [N]."""


class Interval(NamedTuple):
    """An estimate and the ends of its confidence interval (NaN where it cannot be told)."""

    value: float
    low: float
    high: float


def percentile_interval(value: float, resampled: Float[np.ndarray, "resamples"],
                        level: float) -> Interval:
    """The value with the percentiles of its resamples; those that are not finite do not count."""
    resampled = resampled[np.isfinite(resampled)]
    if not len(resampled):
        return Interval(float(value), float("nan"), float("nan"))
    tail = (1 - level) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(float(value), float(low), float(high))


class Bootstrap:
    """One set of resamples, shared by all statistics of the same pictures.

    Attributes:
      people: how many different people there are.
      pictures: how many pictures.
      resamples, level, seed: as given.
    """

    def __init__(self, persons: Persons, *, resamples: int = 2000, level: float = 0.95,
                 seed: int = 0):
        """Args:
          persons: whose each of the N pictures is, text or numbers, [N].
          resamples: how many are drawn.
          level: confidence level in (0, 1).
          seed: of the resampling.
        """
        if not 0 < level < 1:
            raise ValueError(f"the confidence level must lie between 0 and 1, not {level}")
        names, self._person = np.unique(np.asarray(persons), return_inverse=True)
        self.people, self.pictures = len(names), len(self._person)
        if not self.people:
            raise ValueError("nothing to resample")
        self.resamples, self.level, self.seed = resamples, level, seed

    @functools.cached_property
    def _counts(self) -> np.ndarray:
        """How often each person is in each resample, [resamples, people]."""
        draw = np.random.default_rng(self.seed).multinomial
        return draw(self.people, np.full(self.people, 1 / self.people),
                    size=self.resamples).astype(np.float64)

    def _person_sums(self, columns: np.ndarray) -> np.ndarray:
        """Sums over each person's pictures, [people, columns], of [N, columns]."""
        sums = np.zeros((self.people, columns.shape[1]))
        np.add.at(sums, self._person, columns)
        return sums

    def _checked(self, *arrays: np.ndarray) -> list[np.ndarray]:
        arrays = [np.asarray(a, np.float64) for a in arrays]
        for array in arrays:
            if len(array) != self.pictures:
                raise ValueError(f"{len(array)} values for {self.pictures} pictures")
            if not np.isfinite(array).all():
                raise ValueError("a value is not finite")
        return arrays

    def _interval(self, value: float, resampled: np.ndarray) -> Interval:
        # One person says nothing about how people differ.
        return percentile_interval(value, resampled if self.people > 1 else resampled[:0],
                                   self.level)

    def mean(self, x: Float[np.ndarray, "n"]) -> Interval:
        """Mean over the pictures."""
        x, = self._checked(x)
        sums = self._counts @ self._person_sums(np.stack([x, np.ones_like(x)], 1))
        return self._interval(x.mean(), sums[:, 0] / sums[:, 1])

    def difference(self, x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"]) -> Interval:
        """Mean of x - y, values of the same pictures (paired)."""
        x, y = self._checked(x, y)
        return self.mean(x - y)

    def relative(self, x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"]) -> Interval:
        """Mean of x relative to that of y, minus 1, values of the same pictures (paired).

        Not finite where the mean of y is 0.
        """
        x, y = self._checked(x, y)
        sums = self._counts @ self._person_sums(np.stack([x, y], 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._interval(x.mean() / y.mean() - 1, sums[:, 0] / sums[:, 1] - 1)

    def correlation(
        self,
        x: Float[np.ndarray, "n *channels"],
        y: Float[np.ndarray, "n *channels"],
    ) -> Interval:
        """Pearson correlation over the pictures, averaged over the channels if there are any."""
        return self._interval(*self._correlations(x, y))

    def correlation_difference(
        self,
        x: Float[np.ndarray, "n *channels"],
        y: Float[np.ndarray, "n *channels"],
        other: Float[np.ndarray, "n *channels"],
    ) -> Interval:
        """Correlation of x with y minus that of x with `other` (paired)."""
        (a, a_resampled), (b, b_resampled) = self._correlations(x, y), self._correlations(x, other)
        return self._interval(a - b, a_resampled - b_resampled)

    def of(
        self, statistic: Callable[[Int[np.ndarray, "n"]], float], resamples: int | None = None
    ) -> Interval:
        """Any statistic, a function of how often each picture counts.

        Args:
          statistic: called with ones for the value and with each resample's numbers.
          resamples: of them, the first so many, as each costs a call; None takes all.
        """
        return self.of_several(lambda counts: [statistic(counts)], resamples)[0]

    def of_several(
        self, statistics: Callable[[Int[np.ndarray, "n"]], Sequence[float]],
        resamples: int | None = None,
    ) -> list[Interval]:
        """As `of`, for statistics that come together."""
        drawn = self._counts[:resamples].astype(np.int64)
        values = statistics(np.ones(self.pictures, np.int64))
        resampled = np.array([statistics(counts[self._person]) for counts in drawn])
        return [self._interval(value, column)
                for value, column in zip(values, resampled.T, strict=True)]

    def _correlations(self, x, y) -> tuple[float, np.ndarray]:
        """The correlation of all pictures and of each resample."""
        x, y = (a.reshape(self.pictures, -1) for a in self._checked(x, y))
        # Centred first: the moments' differences then lose no digits.
        x, y = x - x.mean(0), y - y.mean(0)
        moments = np.concatenate([np.ones((len(x), 1)), x, y, x * x, y * y, x * y], 1)
        person_sums = self._person_sums(moments)

        def correlate(sums):
            means = sums[..., 1:] / sums[..., :1]
            mx, my, xx, yy, xy = np.split(means, 5, axis=-1)
            spread = np.sqrt(np.maximum((xx - mx * mx) * (yy - my * my), 0))
            flat = spread <= 1e-12
            return np.where(flat, np.nan, (xy - mx * my) / np.where(flat, 1, spread)).mean(-1)

        return correlate(person_sums.sum(0)), correlate(self._counts @ person_sums)
