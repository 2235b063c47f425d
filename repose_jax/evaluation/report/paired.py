"""Differences between ways to make the same pictures, picture by picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from repose_jax.evaluation.report.score_table import ScoreTable
from repose_jax.evaluation.statistics.bootstrap import Bootstrap, Interval, Persons


def differences(
    tables: Sequence[ScoreTable], persons: Persons, *, seed: int = 0, resamples: int = 2000
) -> dict[str, dict[str, Interval]]:
    """How much better or worse each table is than the first.

    Args:
      tables: of the same pairs in the same order.
      persons: whose each picture is.
      seed, resamples: of the intervals, which resample people.

    Returns:
      By table's name, by score: mean of its value minus the first table's, over the pictures that
      both could be measured on. Scores of the whole set have no such difference.
    """
    first, persons = tables[0], np.asarray(persons)
    found: dict[str, dict[str, Interval]] = {}
    for table in tables[1:]:
        found[table.name] = {}
        for name, values in table.values.items():
            if name not in first.values:
                continue
            both = np.isfinite(values) & np.isfinite(first.values[name])
            if both.any():
                over = Bootstrap(persons[both], seed=seed, resamples=resamples)
                found[table.name][name] = over.difference(values[both], first.values[name][both])
    return found
