"""Scores apart for easy and hard pairs: how far the pose changes, how much the source shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from repose_jax.evaluation.report.score_table import ScoreTable
from repose_jax.evaluation.statistics.bootstrap import Bootstrap, Interval, Persons

_NAMES = ("least", "middle", "most")


@dataclasses.dataclass(frozen=True)
class Group:
    """Pairs that are alike in one way.

    Attributes:
      by: what was divided: "pose change" or "joints shown by both".
      name: "least", "middle" or "most".
      low, high: of the value, inclusive.
      pictures: how many.
      scores: mean of each score with its interval.
    """

    by: str
    name: str
    low: float
    high: float
    pictures: int
    scores: dict[str, Interval]


def pose_change(
    source: Float[np.ndarray, "n joints 3"], target: Float[np.ndarray, "n joints 3"], height: int
) -> Float[np.ndarray, "n"]:
    """Mean way of the joints that both poses know, after moving one centre onto the other, heights.

    NaN where they share no joint.
    """
    both = (source[..., 2] > 0) & (target[..., 2] > 0)
    weight = both / np.maximum(both.sum(1, keepdims=True), 1)
    way = target[..., :2].astype(np.float64) - source[..., :2]
    way -= (way * weight[..., None]).sum(1, keepdims=True)
    length = (np.linalg.norm(way, axis=-1) * weight).sum(1) / height
    return np.where(both.any(1), length, np.nan)


def shown_by_both(
    source: Float[np.ndarray, "n joints 3"], target: Float[np.ndarray, "n joints 3"]
) -> Float[np.ndarray, "n"]:
    """Share of the target's joints that the source shows too; NaN for a target without joints."""
    wanted = target[..., 2] > 0
    both = wanted & (source[..., 2] > 0)
    return np.where(wanted.any(1), both.sum(1) / np.maximum(wanted.sum(1), 1), np.nan)


def breakdown(
    table: ScoreTable,
    persons: Persons,
    source: Float[np.ndarray, "n joints 3"],
    target: Float[np.ndarray, "n joints 3"],
    height: int,
    names: Sequence[str],
    seed: int = 0,
) -> list[Group]:
    """Means of some scores for each third of the pairs.

    Args:
      table: of the scores.
      persons: whose each picture is.
      source, target: poses in pixels of pictures of `height`.
      names: of the scores.
      seed: of the intervals.

    Returns:
      The groups that hold pictures; thirds fall together where many pairs have the same value.
    """
    persons, found = np.asarray(persons), []
    for by, values in (("pose change", pose_change(source, target, height)),
                       ("joints shown by both", shown_by_both(source, target))):
        known = np.isfinite(values)
        if not known.any():
            continue
        edges = np.quantile(values[known], [1 / 3, 2 / 3])
        third = np.where(known, np.searchsorted(edges, values, side="left"), -1)
        for number, name in enumerate(_NAMES):
            inside = third == number
            if not inside.any():
                continue
            scores = {}
            for score in names:
                use = inside & np.isfinite(table.values[score])
                if use.any():
                    scores[score] = Bootstrap(persons[use], seed=seed, resamples=1000).mean(
                        table.values[score][use])
            found.append(Group(by, name, float(values[inside].min()), float(values[inside].max()),
                               int(inside.sum()), scores))
    return found
