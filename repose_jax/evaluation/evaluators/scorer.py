"""Scores pictures of a dataset's pairs, whoever made them, all on the same footing."""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int, UInt8

from repose_jax.common.batching import parts
from repose_jax.common.errors import UserError
from repose_jax.data.image.files import image_size, read_image
from repose_jax.data.image.names import flattened, generated_pictures
from repose_jax.data.image.resize import squeeze
from repose_jax.data.pairs.list import read_pair_list
from repose_jax.data.pairs.source import PairSource
from repose_jax.data.pairs.stream import examples
from repose_jax.evaluation.evaluators.reid_features import FeatureReader, Gallery
from repose_jax.evaluation.metrics.features import FeatureNetwork, features_of
from repose_jax.evaluation.metrics.frechet import Gaussian, frechet_distance, moments, whole_batches
from repose_jax.evaluation.metrics.kid import polynomial_mmd
from repose_jax.evaluation.metrics.lpips import Lpips
from repose_jax.evaluation.metrics.measures import (
    at_size, extracted, masked, masked_perceptual, perceptual, pose, reconstruction, torso)
from repose_jax.evaluation.metrics.metric import found_metrics
from repose_jax.evaluation.metrics.picture_batch import Measure, PictureBatch
from repose_jax.evaluation.metrics.precision_recall import manifolds
from repose_jax.evaluation.report.report import Report, summarize
from repose_jax.evaluation.report.score_table import ScoreTable, score

_AT_ONCE = 64
_FEATURES = "reid"
_NEIGHBOURS = 3  # of precision and recall (Kynkäänniemi et al. 2019)

class PoseJudge(Protocol):
    """Reads the poses of generated pictures; `PoseReader` and `FoundPoses` do.

    Attributes:
      name, sha256: of the network or the files that it reads by.
    """

    name: str
    sha256: str

    def poses(
        self, pictures: UInt8[np.ndarray, "n height width 3"]
    ) -> Float[np.ndarray, "n joints 3"]:
        """The pose of each picture, pixels; NaN where it or a joint was not found."""


Pictures = Callable[[Int[np.ndarray, "n"]], UInt8[np.ndarray, "n height width 3"]]
"""The generated pictures of some positions of the list of pairs."""


@dataclasses.dataclass(frozen=True, eq=False)
class Scorer:
    """Scores the pictures of some pairs.

    Attributes:
      test: held-out people.
      pairs: which of its pairs, by number.
      poses: reads the poses that were painted; None leaves them unscored.
      identities: reads what tells people apart; None leaves identity unscored.
      lpips: perceptual distances.
      networks: whose features the pictures are compared by as a set.
      references: the real pictures' features, by name of the network.
      feature_size: (height, width) at which these see pictures; None is that of the data.
      left_out: sentences on what was asked for and cannot be measured.
      windows, sigmas, range_of_prediction, mae: see
        `repose_jax.evaluation.metrics.measures.reconstruction`.
      mask_lpips: also measure `lpips` on the person alone.
      drop_incomplete: size of a batch of pictures that must be full for its pictures to count in
        the networks' Frechet distances; 0 counts all.
      seed: of the intervals.
    """

    test: PairSource
    pairs: Int[np.ndarray, "pairs"]
    poses: PoseJudge | None = None
    identities: FeatureReader | None = None
    lpips: Sequence[Lpips] = ()
    networks: Sequence[FeatureNetwork] = ()
    references: Mapping[str, Gaussian] = dataclasses.field(default_factory=dict)
    feature_size: tuple[int, int] | None = None
    left_out: Sequence[str] = ()
    windows: tuple[int, ...] = (7, 11, 51)
    sigmas: tuple[float, ...] = (1.5,)
    range_of_prediction: bool = False
    mae: bool = False
    mask_lpips: bool = False
    drop_incomplete: int = 0
    seed: int = 0

    @functools.cached_property
    def numbers(self) -> Int[np.ndarray, "pairs 2"]:
        """Source and target of each pair, by number of the picture."""
        return np.asarray(self.test.pairs[self.pairs])

    @functools.cached_property
    def persons(self) -> np.ndarray:
        """Whom each pair shows."""
        return np.asarray(self.test.persons)[self.numbers[:, 0]]

    @functools.cached_property
    def gallery(self) -> Gallery | None:
        """All pictures of the test split, read once."""
        return None if self.identities is None else Gallery.of(self.test, self.identities)

    def table(self, name: str, pictures: Pictures, of_gallery: bool = False) -> ScoreTable:
        """Measures the pictures that one way of making them gave.

        Args:
          name: of that way.
          pictures: its pictures.
          of_gallery: they are photos of the gallery, so that as a set they are no further from it
            than it is from itself, and these scores say nothing: NaN.
        """
        measure, left_out = reconstruction(
            self.test.size, self.windows, self.sigmas, mae=self.mae,
            range_of_prediction=self.range_of_prediction)
        measures: list[Measure] = [
            measure, *(metric.measure for metric in found_metrics().values()),
            masked(self.test.skeleton), torso(self.test.skeleton)]
        if self.poses is not None:
            measures.append(pose(self.poses.poses))
        if self.identities is not None:
            measures.append(extracted(_FEATURES, self.identities))
        measures += [perceptual(distance, self.feature_size) for distance in self.lpips]
        if self.mask_lpips:
            measures += [masked_perceptual(distance, self.test.skeleton)
                         for distance in self.lpips]
        measures += [extracted(network.name, functools.partial(self._features, network))
                     for network in self.networks]
        table = score(name, self._batches(pictures), measures, [*left_out, *self.left_out])
        counted = whole_batches(len(table), self.drop_incomplete)
        for network in self.networks:
            own = moments(table.vectors[network.name][:counted]).gaussian(network.name)
            table = table.with_sets(**{
                f"frechet_{network.name}": frechet_distance(own, self.references[network.name])})
        if self.gallery is None:
            return table
        features, real = table.vectors[_FEATURES], self.gallery.features
        found = self.gallery.rank(features, self.numbers)
        table = table.with_values(found_first=found.found_within(1),
                                  found_precision=found.precision)
        sets = dict.fromkeys(("frechet_reid", "kid_reid", "precision_reid", "recall_reid"), math.nan)
        if of_gallery or len(features) < 2:
            return table.with_sets(**sets)
        sets |= {"kid_reid": polynomial_mmd(real, features), "frechet_reid": frechet_distance(
            moments(features).gaussian(), moments(real).gaussian())}
        if _NEIGHBOURS < len(features) <= len(real):  # these are of sets of one size
            some = np.random.default_rng(self.seed).permutation(len(real))[:len(features)]
            overlap = manifolds(real[some], features, _NEIGHBOURS)
            sets |= {"precision_reid": overlap.precision, "recall_reid": overlap.recall}
        return table.with_sets(**sets)

    def _features(self, network: FeatureNetwork, pictures: np.ndarray) -> np.ndarray:
        return features_of(network, at_size(pictures, self.feature_size), len(pictures))

    def report(self, table: ScoreTable, **conditions) -> Report:
        """Averages a table that `table` gave."""
        judges = {"judge": self.poses, "identity": self.identities}
        facts = {name: {"name": judge.name, "sha256": judge.sha256}
                 for name, judge in judges.items() if judge is not None}
        return summarize(table, self.persons, seed=self.seed, conditions={
            "size": list(self.test.size), "skeleton": self.test.skeleton.name} | facts | conditions)

    def _batches(self, pictures: Pictures) -> Iterator[tuple[PictureBatch, int]]:
        for some, real in parts(len(self.pairs), min(_AT_ONCE, len(self.pairs))):
            batch = examples(self.test, self.pairs[some])
            yield PictureBatch(pictures(some), batch["target"], batch["source"],
                               batch["source_pose"], batch["target_pose"]), real


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
