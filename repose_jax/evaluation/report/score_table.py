"""The scores of every picture of a set, before anything is averaged."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

from repose_jax.evaluation.metrics.metric import Score
from repose_jax.evaluation.metrics.picture_batch import PictureBatch


@dataclasses.dataclass(frozen=True, eq=False)
class ScoreTable:
    """A row a picture.

    Attributes:
      name: of what made the pictures.
      values: scores by name; NaN where a picture could not be measured.
      vectors: what is compared over the whole set only: colours, features, by what scores call it.
      scores: what was measured, in the order in which it is shown.
      left_out: one sentence for each score that could not be measured on any or all pictures.
    """

    name: str
    values: dict[str, Float[np.ndarray, "pictures"]]
    vectors: dict[str, Float[np.ndarray, "pictures channels"]] = dataclasses.field(
        default_factory=dict)
    scores: tuple[Score, ...] = ()
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.kept.values())))

    @property
    def kept(self) -> dict[str, Float[np.ndarray, "pictures *channels"]]:
        """Values and vectors."""
        return self.values | self.vectors


def score(
    name: str,
    batches: Iterable[tuple[PictureBatch, int]],
    scores: Sequence[Score],
    left_out: Sequence[str] = (),
) -> ScoreTable:
    """Measures pictures batch by batch; only their scores stay in memory.

    Args:
      name: of what made the pictures.
      batches: with how many of their pictures count; the others fill the batch up.
      scores: what is measured.
      left_out: sentences on what is not.
    """
    kept = {one.key: one for one in scores}
    parts: dict[str, list[np.ndarray]] = {key: [] for key in kept}
    for batch, real in batches:
        for key, one in kept.items():
            value = np.full(len(batch), np.nan) if one.absent else one.of_batch(batch)
            kind = np.float64 if np.ndim(value) == 1 else np.float32
            parts[key].append(np.asarray(value, kind)[:real])
    whole = {key: np.concatenate(arrays) for key, arrays in parts.items()}
    absent = [f"{one.name}: {one.absent}" for one in scores if one.absent]
    return ScoreTable(name, {k: v for k, v in whole.items() if v.ndim == 1},
                      {k: v for k, v in whole.items() if v.ndim == 2}, tuple(scores),
                      (*absent, *left_out))
