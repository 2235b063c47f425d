"""What anybody's pictures must beat, and what they cannot."""

from __future__ import annotations

import numpy as np

from repose_jax.data.pairs.source import PairSource
from repose_jax.data.pairs.stream import examples
from repose_jax.evaluation.evaluators.scorer import Scorer, in_memory
from repose_jax.evaluation.metrics.baselines import (
    COPY, aligned_baselines, mean_image, trivial_baselines)
from repose_jax.evaluation.report.score_table import ScoreTable

REAL = "real target"


def baseline_tables(scorer: Scorer, train: PairSource) -> list[ScoreTable]:
    """The trivial baselines and, where a network judges pictures, the photos that it should see."""
    batch = examples(scorer.test, scorer.pairs)
    mean = mean_image(train.image(i) for i in range(len(train)))
    pictures_of = trivial_baselines(batch["source"], mean) | aligned_baselines(
        batch, scorer.test.skeleton, mean)
    found = [scorer.table(name, in_memory((pictures * 255 + 0.5).astype(np.uint8)),
                          of_gallery=name == COPY)
             for name, pictures in pictures_of.items()]
    if scorer.by.poses is not None or scorer.by.identities is not None:
        found.append(scorer.table(REAL, in_memory(batch["target"]), of_gallery=True))
    return found
