"""The scores of every picture of a set, before anything is averaged."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

from repose_jax.evaluation.metrics.picture_batch import Measure, PictureBatch


@dataclasses.dataclass(frozen=True, eq=False)
class ScoreTable:
    """A row a picture.

    Attributes:
      name: of what made the pictures.
      values: scores by name; NaN where a picture could not be measured.
      vectors: what is compared over the whole set only: colours, features.
      sets: scores of the whole set, such as a Frechet distance.
      left_out: one sentence for each score that could not be measured on any or all pictures.
    """

    name: str
    values: dict[str, Float[np.ndarray, "pictures"]]
    vectors: dict[str, Float[np.ndarray, "pictures channels"]]
    sets: dict[str, float] = dataclasses.field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter((self.values | self.vectors).values())))

    def with_values(self, **values: Float[np.ndarray, "pictures"]) -> ScoreTable:
        """The table with further scores of each picture."""
        return dataclasses.replace(self, values=self.values | values)

    def with_sets(self, **sets: float) -> ScoreTable:
        """The table with further scores of the whole set."""
        return dataclasses.replace(self, sets=self.sets | sets)


def score(
    name: str,
    batches: Iterable[tuple[PictureBatch, int]],
    measures: Sequence[Measure],
    left_out: Sequence[str] = (),
) -> ScoreTable:
    """Measures pictures batch by batch; only their scores stay in memory.

    Args:
      name: of what made the pictures.
      batches: with how many of their pictures count; the others fill the batch up.
      measures: what is measured.
      left_out: sentences on what is not.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for batch, real in batches:
        for measure in measures:
            for key, value in measure(batch).items():
                kind = np.float64 if np.ndim(value) == 1 else np.float32
                parts.setdefault(key, []).append(np.asarray(value, kind)[:real])
    whole = {key: np.concatenate(arrays) for key, arrays in parts.items()}
    return ScoreTable(name, {k: v for k, v in whole.items() if v.ndim == 1},
                      {k: v for k, v in whole.items() if v.ndim == 2},
                      left_out=tuple(left_out))
