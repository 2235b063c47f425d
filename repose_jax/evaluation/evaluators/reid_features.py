"""Is the person in a generated picture the source's? A re-identification network is asked."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Float, Int, UInt8

from repose_jax.common.batching import in_parts
from repose_jax.common.errors import UserError
from repose_jax.common.signal import to_signal
from repose_jax.data.pairs.source import PairSource
from repose_jax.data.pairs.subset import numbered
from repose_jax.evaluation.metrics.instruments import IdentityJudge
from repose_jax.evaluation.metrics.retrieval import Ranking, pair_junk, rank
from repose_jax.models.weights import Pretrained, load_reid
from repose_jax.networks.apply import apply
from repose_jax.networks.reid import ReidConfig, ReidNetwork

_AT_ONCE = 64


class FeatureReader:
    """The features of a re-identification network.

    Attributes:
      weights: of the network.
      name: how the user called it.
      sha256: of its file.
    """

    def __init__(self, weights: Pretrained[ReidConfig]):
        self.weights, self.name, self.sha256 = weights, weights.name, weights.sha256
        network = ReidNetwork(weights.config)
        # An argument: weights that are constants would be compiled in.
        self._read = functools.partial(jax.jit(
            lambda params, pictures: apply(network, params, to_signal(pictures)).features),
            weights.params)

    @classmethod
    def load(cls, name: str | os.PathLike[str], size: tuple[int, int]) -> FeatureReader:
        """Loads a network for pictures of a size; UserError where it is for another."""
        weights = load_reid(name)
        own = tuple(weights.config.image_size)
        if own != tuple(size):
            raise UserError(name, f"is for pictures of {own[0]}x{own[1]}, these are "
                            f"{size[0]}x{size[1]}", "give a network of their size")
        return cls(weights)

    def __call__(self, pictures: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n d"]:
        """Features of pictures, before they are normalised."""
        return self.of(pictures.__getitem__, len(pictures))

    def of(self, read: Callable[[np.ndarray], np.ndarray], count: int
           ) -> Float[np.ndarray, "n d"]:
        """Features of so many pictures; `read` gives those of some numbers."""
        return in_parts(self._read, read, count, _AT_ONCE)


@dataclasses.dataclass(frozen=True, eq=False)
class Gallery:
    """All pictures of a test split, among which people are sought.

    Attributes:
      features: of the real pictures.
      person, camera: numbers; where a dataset names no cameras each picture has one of its own.
    """

    features: Float[np.ndarray, "pictures d"]
    person: Int[np.ndarray, "pictures"]
    camera: Int[np.ndarray, "pictures"]

    @classmethod
    def of(cls, source: PairSource, read: IdentityJudge) -> Gallery:
        """The gallery of a dataset's pictures."""
        features = read.of(lambda some: np.stack([source.image(int(i)) for i in some]),
                           len(source))
        camera = np.arange(len(source)) if source.cameras is None else source.cameras
        return cls(features, numbered(source.persons), np.asarray(camera))

    def rank(
        self, features: Float[np.ndarray, "n d"], pairs: Int[np.ndarray, "n 2"]
    ) -> Ranking:
        """How well each generated picture is found as the person of its pair.

        Args:
          features: of the generated pictures.
          pairs: numbers of source and target among the gallery's pictures.
        """
        source, target = np.asarray(pairs).T
        return rank(features, self.features, self.person[source], self.person,
                    pair_junk(source, target, self.person, self.camera))
