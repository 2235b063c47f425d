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
from repose_jax.evaluation.statistics.statistic import UNKNOWN

_PACKAGES = ("repose_jax", "jax", "numpy", "pillow")


def jsonable(value: Any) -> Any:
    """A value as JSON holds it: intervals as tables, what is not finite as null."""
    if isinstance(value, Interval):
        return jsonable(value._asdict())
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no NaN
    return value


def write_json(path: str | os.PathLike[str], content: dict) -> None:
    """Writes numbers and intervals as JSON, whole or not at all; what is not finite as null."""
    text = json.dumps(jsonable(content), indent=2, ensure_ascii=False) + "\n"
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
        return jsonable(dataclasses.asdict(self) | {"scores": dict(self.scores)})

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the report as JSON; UserError where that is not possible."""
        write_json(path, self.to_dict())


def circumstances() -> dict[str, object]:
    """On what, and with which versions, this process computes."""
    return {"backend": jax.default_backend(), "versions": versions(_PACKAGES)}


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
      The number of every score, of the pictures that could be measured. What could not be measured
      is NaN, and `conditions["left_out"]` says why.
    """
    persons = np.asarray(persons)
    if len(persons) != len(table):
        raise ValueError(f"{len(persons)} persons for {len(table)} pictures")
    options: dict[str, Any] = {"resamples": resamples, "level": level, "seed": seed}
    everyone = Bootstrap(persons, **options)
    found, left_out = {}, list(table.left_out)
    for score in table.scores:
        kept = table.kept[score.key]
        known = np.isfinite(kept).reshape(len(kept), -1).all(1)
        some = everyone if known.all() or not known.any() else Bootstrap(persons[known], **options)
        found[score.name] = score.statistic.of(kept[known], some) if known.any() else UNKNOWN
        if not known.all() and (known.any() or score.unmeasured):
            why = score.unmeasured or "pictures that could not be measured"
            left_out.append(f"{score.name}: {int((~known).sum())} {why}")
    return Report(name=table.name, scores=found, conditions={
        "pictures": everyone.pictures, "people": everyone.people, **options,
        **(conditions or {}), "torso_shrink": SHRINK, "range": "[0, 1]", "left_out": left_out}
        | circumstances())
