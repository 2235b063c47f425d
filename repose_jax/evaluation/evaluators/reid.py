"""Scores a re-identification network on people it was never trained on."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Int

from repose_jax.common.errors import UserError
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.source import PairSource
from repose_jax.evaluation.evaluators.reid_features import FeatureReader, Gallery
from repose_jax.evaluation.metrics.retrieval import (
    Ranking, one_query_a_camera, rank, same_camera_junk)
from repose_jax.evaluation.statistics.bootstrap import Bootstrap, Interval
from repose_jax.models.weights import Pretrained
from repose_jax.networks.reid import ReidConfig

_RANKS = (1, 5, 10)


@dataclasses.dataclass(frozen=True)
class ReidScores:
    """How often people are found again.

    Attributes:
      found: share of queries with a right picture among the first k, by k.
      precision: mean average precision.
      conditions: numbers of queries, pictures and people, and how they were chosen.
    """

    found: dict[int, Interval]
    precision: Interval
    conditions: dict

    def to_dict(self) -> dict:
        """All of it, for `write_json`."""
        return dataclasses.asdict(self)

    def markdown(self) -> str:
        """A table; brackets hold the 95 % intervals over people."""
        names = [f"rank-{k}" for k in self.found] + ["mAP"]
        values = [*self.found.values(), self.precision]
        cells = [f"{v.value:.3f} [{v.low:.3f}, {v.high:.3f}]" for v in values]
        facts = self.conditions
        return (f"| {' | '.join(names)} |\n{'|---' * len(names)}|\n| {' | '.join(cells)} |\n\n"
                f"{facts['queries']} queries, {facts['pictures']} pictures of {facts['people']} "
                f"people; {facts['protocol']}.\n")


def score_reid(weights: Pretrained[ReidConfig], data: DataConfig, *, seed: int = 0) -> ReidScores:
    """Looks for test people among all test pictures.

    Where the data names cameras, as Market-1501 does: one query for each person and camera, and
    pictures of the person by that camera do not count. Else every picture is a query, and only
    itself does not count.

    Args:
      weights: of the network.
      data: whose test split is used.
      seed: of the queries and the intervals.

    Raises:
      UserError: the data cannot be used, or no person could be found.
    """
    size = tuple(weights.config.image_size)
    test = data.open("test", size=size)
    return summary(test, *search(weights, test, seed), seed)


def search(
    weights: Pretrained[ReidConfig], test: PairSource, seed: int
) -> tuple[Ranking, Int[np.ndarray, "queries"]]:
    """Looks for everybody among a test split's pictures.

    Returns:
      How each query fared, and the number of its person; the same queries for the same seed.
    """
    gallery = Gallery.of(test, FeatureReader(weights))
    query = one_query_a_camera(gallery.person, gallery.camera, seed)
    return rank(gallery.features[query], gallery.features, gallery.person[query],
                gallery.person, same_camera_junk(query, gallery.person, gallery.camera)
                ), gallery.person[query]


def summary(
    test: PairSource, ranking: Ranking, person: Int[np.ndarray, "queries"], seed: int
) -> ReidScores:
    """What `search` found, averaged; UserError where nobody could be found."""
    known = ranking.valid
    if not known.any():
        raise UserError("data", "shows nobody by two cameras", "give data with more pictures")
    over = Bootstrap(person[known], seed=seed)
    return ReidScores(
        {k: over.mean(ranking.found_within(k)[known]) for k in _RANKS},
        over.mean(ranking.precision[known]), {
            "queries": int(known.sum()), "pictures": len(test),
            "people": len(set(test.persons)), "seed": seed,
            "protocol": "every picture a query" if test.cameras is None else
            "one random query for each person and camera, the person's pictures by that camera "
            "left out"})
