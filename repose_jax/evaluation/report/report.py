"""The scores of a set of generated pictures, with intervals and conditions."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from repose_jax.common.files import write_content
from repose_jax.common.versions import versions
from repose_jax.evaluation.metrics.torso_color import SHRINK
from repose_jax.evaluation.report.score_table import ScoreTable
from repose_jax.evaluation.statistics.bootstrap import Bootstrap, Interval, Persons

_PACKAGES = ("repose_jax", "jax", "numpy", "pillow")


def _jsonable(value):
    if isinstance(value, Interval):
        return _jsonable(value._asdict())
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no NaN
    return value


def write_json(path: str | os.PathLike[str], content: dict) -> None:
    """Writes numbers and intervals as JSON, whole or not at all; what is not finite as null."""
    text = json.dumps(_jsonable(content), indent=2, ensure_ascii=False) + "\n"
    write_content(path, text)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """Scores of one way to make the pictures.

    Attributes:
      name: of the model or baseline.
      scores: by name, in the order in which they are shown.
      conditions: pictures, people, seed, versions, definitions.
    """

    name: str
    scores: dict[str, Interval]
    conditions: dict

    @property
    def competes(self) -> bool:
        """Whether it may be the best of a table; what is shown as the ceiling may not."""
        return not self.conditions.get("ceiling", False)

    def to_dict(self) -> dict:
        """Name, scores and conditions, ready for JSON."""
        return _jsonable(dataclasses.asdict(self) | {"scores": dict(self.scores)})

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the report as JSON; UserError where that is not possible."""
        write_json(path, self.to_dict())


def circumstances() -> dict[str, object]:
    """On what, and with which versions, this process computes."""
    return {"backend": jax.default_backend(), "versions": versions(_PACKAGES)}


_NOTHING = Interval(math.nan, math.nan, math.nan)
_WHY = {"psnr": "pictures identical to their target", "leakage": "pairs without a common joint",
        "found_first": "pairs of people whom no other camera saw"}


def summarize(
    table: ScoreTable,
    persons: Persons,
    *,
    conditions: Mapping[str, object] | None = None,
    seed: int = 0,
    resamples: int = 2000,
    level: float = 0.95,
) -> Report:
    """Averages a table, with intervals that resample people.

    Args:
      table: scores of N pictures.
      persons: whose each is, [N].
      conditions: JSON-able facts on how the scores came about.
      seed, resamples, level: of the intervals.

    Returns:
      The mean of every score over the pictures that could be measured, and from the torso's colours
      torso_correlation and torso_box_correlation between source and generated picture, with
      torso_correlation_real, between source and real target, to judge them by; then the scores of
      the whole set, without intervals. What could not be measured is NaN, and
      `conditions["left_out"]` says why.
    """
    persons = np.asarray(persons)
    if len(persons) != len(table):
        raise ValueError(f"{len(persons)} persons for {len(table)} pictures")
    options: dict[str, Any] = {"resamples": resamples, "level": level, "seed": seed}
    everyone = Bootstrap(persons, **options)
    scores, left_out = {}, list(table.left_out)

    def over(known: np.ndarray) -> Bootstrap:
        return everyone if known.all() else Bootstrap(persons[known], **options)

    for name, values in table.values.items():
        known = np.isfinite(values)
        scores[name] = over(known).mean(values[known]) if known.any() else _NOTHING
        if not known.all() and (known.any() or name in _WHY):
            why = _WHY.get(name, "pictures that could not be measured")
            left_out.append(f"{name}: {int((~known).sum())} {why}")
    for name, (a, b) in _torsos(table).items():
        known = np.isfinite(a).all(1) & np.isfinite(b).all(1)
        scores[name] = over(known).correlation(a[known], b[known]) if known.sum() > 2 else _NOTHING
        if not known.all():
            left_out.append(f"{name}: {int((~known).sum())} pairs without a visible torso")
    # A resampled set repeats pictures, which alone makes it more distant, so there is no interval.
    scores |= {name: Interval(value, math.nan, math.nan) for name, value in table.sets.items()}
    return Report(name=table.name, scores=scores, conditions={
        "pictures": everyone.pictures, "people": everyone.people, **options,
        **(conditions or {}), "torso_shrink": SHRINK, "range": "[0, 1]", "left_out": left_out}
        | circumstances())


def _torsos(table: ScoreTable) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What correlates with what, where colours were measured."""
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for region, label in (("quadrilateral", "torso"), ("box", "torso_box")):
        colors = {name: table.vectors[f"torso_{region}_{name}"]
                  for name in ("source", "generated", "target")
                  if f"torso_{region}_{name}" in table.vectors}
        if colors:
            found[f"{label}_correlation"] = colors["source"], colors["generated"]
            found[f"{label}_correlation_real"] = colors["source"], colors["target"]
    return found
