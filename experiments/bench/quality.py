"""What pictures of some pairs are worth, way by way, and which ways are as good as the best one."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from repose_jax.common.errors import UserError
from repose_jax.data.pairs.source import Batch, PairSource
from repose_jax.evaluation.evaluators.reid_features import FeatureReader, Gallery
from repose_jax.evaluation.metrics.identity import REID, cosine
from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.kid import polynomial_mmd
from repose_jax.evaluation.metrics.metric import scores
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.report.score_table import score
from repose_jax.evaluation.statistics.bootstrap import Bootstrap, Interval
from repose_jax.evaluation.statistics.jackknife import jackknife
from repose_jax.models.pose_predictor import PoseReader

FOUND = "found_first"
MEANS = {"pose_error": "pose error", FOUND: "found first", "mask_gaussian_ssim": "SSIM of the person",
         "inside_l1": "L1 within the person", "likeness": "likeness to the source"}
"""What is a mean over pictures, and its title. Found first only where the data tell cameras."""
HIGHER = (FOUND, "mask_gaussian_ssim", "likeness")
BRACKETED = ("pose_error", FOUND)
"""Shown with their intervals."""
KID, KID_TITLE = "kid_reid", "KID"
OWN_UNIT = (MEANS[FOUND], KID_TITLE)
"""Of these a change is told in their own unit: the one may be 0, the other lies about it."""


class Row(NamedTuple):
    """What is known of a way to make the pictures.

    Attributes:
      name: of the way.
      steps: its evaluations of the denoiser.
      values: of the means, by name, a picture each; NaN where it cannot be measured.
      features: of the pictures.
    """

    name: str
    steps: int
    values: Mapping[str, Float[np.ndarray, "pairs"]]
    features: Float[np.ndarray, "pairs d"]


class Judge:
    """Scores the pictures of some pairs.

    Attributes:
      comparison: of what it gives.
    """

    def __init__(self, people: PairSource, chosen: Int[np.ndarray, "pairs"], batch: Batch, *,
                 judge: str = "estimator-people", identity: str = "reid-market1501"):
        """Args:
          people: whose pairs they are.
          chosen: the pairs' numbers.
          batch: the pairs.
          judge: the pose estimator, which guided nothing.
          identity: the re-identification network whose features tell people apart.

        Raises:
          UserError: the estimator or the network is for other pictures.
        """
        poses = PoseReader.load(judge)
        known = poses.weights.config
        if (tuple(known.image_size), known.skeleton) != (tuple(people.size), people.skeleton.name):
            raise UserError(judge, f"reads {known.skeleton} off pictures of "
                            f"{known.image_size[0]}x{known.image_size[1]}, these are "
                            f"{people.skeleton.name}, {people.size[0]}x{people.size[1]}",
                            "give --judge an estimator of theirs")
        reader = FeatureReader.load(identity, people.size)
        self._batch, self._skeleton = batch, people.skeleton
        self._pairs = np.asarray(people.pairs)[chosen]
        persons = np.asarray(people.persons)[self._pairs[:, 0]]
        targets, self._sources = (reader(batch[name]) for name in ("target", "source"))
        real = people.cameras is not None
        titles = {name: title for name, title in MEANS.items() if real or name != FOUND}
        self.comparison = Comparison(titles, persons, targets)
        gallery = Gallery.of(people, reader) if real else Gallery(
            targets, persons, np.arange(len(persons)))  # KID alone reads it
        measured = scores(Instruments(
            size=people.size, poses=poses, identities=reader, gallery=gallery, windows=()))
        self._scores = tuple(one for one in measured if one.name in (*titles, KID))

    def __call__(self, name: str, steps: int, pictures: UInt8[np.ndarray, "pairs h w 3"]) -> Row:
        batch = self._batch
        kept = score(name, [(PictureBatch(
            pictures, batch["target"], batch["source"], batch["source_pose"],
            batch["target_pose"], self._skeleton, self._pairs), len(pictures))], self._scores).kept
        features = kept.pop(REID)
        return Row(name, steps, kept | {"likeness": cosine(features, self._sources)}, features)


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Rows of the same pairs beside each other, with intervals over people.

    Attributes:
      titles: of the means that are measured, by name.
      persons: whom each pair shows.
      targets: the features of each pair's real target.
    """

    titles: Mapping[str, str]
    persons: np.ndarray
    targets: Float[np.ndarray, "pairs d"]

    def cells(self, row: Row) -> str:
        """Of the table of values."""
        cells = []
        for name in self.titles:
            people, own = self._measured(row.values[name])
            mean = people.mean(own)
            cells.append(f"{mean.value:.4f} [{mean.low:.4f}, {mean.high:.4f}]"
                         if name in BRACKETED else f"{mean.value:.4f}")
        return " | ".join([*cells, f"{self._kid(row):.4f}"])

    def changes(self, rows: Sequence[Row], among: Sequence[Row]
                ) -> Iterator[tuple[str, Row, list[Interval]]]:
        """Each measure's title, its best row of `among`, and every row's change from it: of what is
        in `OWN_UNIT` the difference, else relative to the best."""
        for name, title in self.titles.items():
            first = max if name in HIGHER else min
            best = first(among, key=lambda row: np.nanmean(row.values[name]))

            def change(row: Row, name=name, best=best) -> Interval:
                people, own, bests = self._measured(row.values[name], best.values[name])
                of = people.difference if MEANS[name] in OWN_UNIT else people.relative
                return of(own, bests)

            yield title, best, list(map(change, rows))
        best = min(among, key=self._kid)
        yield KID_TITLE, best, [jackknife(
            lambda some, row=row: self._kid(row, some) - self._kid(best, some), self.persons)
            for row in rows]

    def _kid(self, row: Row, some=slice(None)) -> float:
        return polynomial_mmd(self.targets[some], row.features[some])

    def _measured(self, *values) -> tuple:
        """Resamples of the people, and the values, of the pictures that could be measured."""
        finite = np.all(np.isfinite(values), axis=0)
        return _resamples(tuple(self.persons[finite])), *(value[finite] for value in values)

    def table(self, rows: Sequence[Row], beside: Sequence[Row] = ()) -> str:
        """Changes from the best of `rows`, and what the fewest evaluations within 1 % of it are.

        Args:
          rows: ways that compete.
          beside: others, which are shown.
        """
        every = [*rows, *beside]
        columns, fewest = [], []
        for title, best, changes in self.changes(every, rows):
            relative = title not in OWN_UNIT
            scale = 100 if relative else 1
            columns.append((title, [
                "best" if row is best else
                f"{scale * c.value:+.3g} [{scale * c.low:+.3g}, {scale * c.high:+.3g}]"
                for row, c in zip(every, changes)]))
            if relative:
                own = list(zip(rows, changes))
                near = [row.steps for row, c in own if abs(c.value) <= 0.01]
                shown = [row.steps for row, c in own
                         if row is best or max(abs(c.low), abs(c.high)) <= 0.01]
                fewest.append(f"{title}: best {best.name}; fewest evaluations whose value is within "
                              f"1 % of it {min(near)}, whose interval is {min(shown)}")
        lines = ["| | " + " | ".join(title for title, _ in columns) + " |",
                 "|---" * (len(columns) + 1) + "|"]
        lines += [f"| {row.name} | " + " | ".join(cells[i] for _, cells in columns) + " |"
                  for i, row in enumerate(every)]
        return "\n".join([*lines, "", *fewest])


@functools.lru_cache(maxsize=4)
def _resamples(persons: tuple) -> Bootstrap:
    return Bootstrap(persons)
