"""Scores pictures of a dataset's pairs, whoever made them, all on the same footing."""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Int, UInt8

from repose_jax.common.batching import parts
from repose_jax.common.errors import UserError
from repose_jax.data.image.files import image_size, read_image
from repose_jax.data.image.names import flattened, generated_pictures
from repose_jax.data.image.resize import squeeze
from repose_jax.data.pairs.list import read_pair_list
from repose_jax.data.pairs.source import PairSource
from repose_jax.data.pairs.stream import examples
from repose_jax.evaluation.evaluators.reid_features import Gallery
from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.metric import Score, scores
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.report.report import Report, summarize
from repose_jax.evaluation.report.score_table import ScoreTable, score
from repose_jax.evaluation.statistics.statistic import OfSet

_AT_ONCE = 64

Pictures = Callable[[Int[np.ndarray, "n"]], UInt8[np.ndarray, "n height width 3"]]
"""The generated pictures of some positions of the list of pairs."""


@dataclasses.dataclass(frozen=True, eq=False)
class Scorer:
    """Scores the pictures of some pairs.

    Attributes:
      test: held-out people.
      pairs: which of its pairs, by number.
      by: what it measures with; the gallery is made where people are read and none is given.
      left_out: sentences on what was asked for and cannot be measured.
    """

    test: PairSource
    pairs: Int[np.ndarray, "pairs"]
    by: Instruments
    left_out: Sequence[str] = ()

    @functools.cached_property
    def numbers(self) -> Int[np.ndarray, "pairs 2"]:
        """Source and target of each pair, by number of the picture."""
        return np.asarray(self.test.pairs[self.pairs])

    @functools.cached_property
    def persons(self) -> np.ndarray:
        """Whom each pair shows."""
        return np.asarray(self.test.persons)[self.numbers[:, 0]]

    @functools.cached_property
    def scores(self) -> list[Score]:
        """What is measured: every metric that is found, by the instruments at hand."""
        by = self.by
        if by.identities is not None and by.gallery is None:
            by = dataclasses.replace(by, gallery=Gallery.of(self.test, by.identities))
        return scores(by)

    def table(self, name: str, pictures: Pictures, of_gallery: bool = False) -> ScoreTable:
        """Measures the pictures that one way of making them gave.

        Args:
          name: of that way.
          pictures: its pictures.
          of_gallery: they are photos of the gallery, so that as a set they are no further from it
            than it is from itself, and these scores say nothing: NaN.
        """
        wanted = self.scores if not of_gallery else [
            dataclasses.replace(score, statistic=OfSet(lambda own: math.nan))
            if score.of_gallery else score for score in self.scores]
        return score(name, self._batches(pictures), wanted, self.left_out)

    def report(self, table: ScoreTable, **conditions) -> Report:
        """Averages a table that `table` gave."""
        judges = {"judge": self.by.poses, "identity": self.by.identities}
        facts = {name: {"name": judge.name, "sha256": judge.sha256}
                 for name, judge in judges.items() if judge is not None}
        return summarize(table, self.persons, seed=self.by.seed, conditions={
            "size": list(self.test.size), "skeleton": self.test.skeleton.name} | facts | conditions)

    def _batches(self, pictures: Pictures) -> Iterator[tuple[PictureBatch, int]]:
        for some, real in parts(len(self.pairs), min(_AT_ONCE, len(self.pairs))):
            batch = examples(self.test, self.pairs[some])
            yield PictureBatch(
                pictures(some), batch["target"], batch["source"], batch["source_pose"],
                batch["target_pose"], self.test.skeleton, self.numbers[some]), real


def in_memory(pictures: UInt8[np.ndarray, "pairs height width 3"]) -> Pictures:
    """Pictures that are at hand."""
    return lambda some: pictures[some]


@dataclasses.dataclass(frozen=True)
class FolderPictures:
    """The generated pictures of a folder, squeezed to the data's size where theirs is another.

    Attributes:
      paths: of the pictures, in the order of the pairs.
      stored: (height, width) of all of them.
      size: (height, width) to give.
    """

    paths: Sequence[pathlib.Path]
    stored: tuple[int, int]
    size: tuple[int, int]

    @classmethod
    def of(cls, folder: str | os.PathLike[str], test: PairSource,
           pairs: Int[np.ndarray, "pairs"]) -> FolderPictures:
        """Finds them by the names that PIDM's and CFLD's published results have.

        Raises:
          UserError: see `repose_jax.data.image.names.generated_pictures`; or they are of several
            sizes, of which the rarest is named.
        """
        names = [(test.names[a], test.names[b]) for a, b in np.asarray(test.pairs[pairs])]
        paths = generated_pictures(folder, names)
        sizes = [image_size(path) for path in paths]
        counts = collections.Counter(sizes).most_common()
        (stored, most), (rarest, _) = counts[0], counts[-1]
        if rarest != stored:
            raise UserError(
                paths[sizes.index(rarest)], f"is {rarest[0]}x{rarest[1]}, where {most} of "
                f"{len(paths)} pictures are {stored[0]}x{stored[1]}", "bring all to one size")
        return cls(paths, stored, test.size)

    @property
    def note(self) -> str | None:
        """A sentence where the pictures are squeezed."""
        if self.stored == self.size:
            return None
        (height, width), (new_height, new_width) = self.stored, self.size
        return f"pictures of {height}x{width} are squeezed to {new_height}x{new_width}"

    def __call__(self, some: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n height width 3"]:
        return np.stack([squeeze(read_image(self.paths[i]), self.size) for i in some])


def with_pair_list(source: PairSource, path: str | os.PathLike[str]) -> PairSource:
    """The same pictures with the pairs of a list.

    Raises:
      UserError: the list cannot be read, or names a picture that the data lacks.
    """
    index = {flattened(name): i for i, name in enumerate(source.names)}
    pairs = []
    for line, *names in read_pair_list(path):
        for name in names:
            if flattened(name) not in index:
                raise UserError(path, f"line {line} names {name}, which the data lacks",
                                "give the list of this data's pairs")
        pairs.append([index[flattened(name)] for name in names])
    if len(pairs) < 2:
        raise UserError(path, f"names {len(pairs)} pairs", "give 2 or more")
    return source.with_pairs(np.array(pairs, np.int32))
