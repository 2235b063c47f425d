"""What metrics measure with: networks that are at hand, and what a protocol asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import jax
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from repose_jax.evaluation.metrics.features import FeatureNetwork
from repose_jax.evaluation.metrics.retrieval import Ranking
from repose_jax.evaluation.statistics.gaussian import Gaussian


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


class IdentityJudge(Protocol):
    """Reads what tells people apart; `FeatureReader` does.

    Attributes:
      name, sha256: of the network that it reads by.
    """

    name: str
    sha256: str

    def __call__(
        self, pictures: UInt8[np.ndarray, "n height width 3"]
    ) -> Float[np.ndarray, "n d"]:
        """Features of each picture, before they are normalised."""

    def of(self, read: Callable[[np.ndarray], np.ndarray], count: int
           ) -> Float[np.ndarray, "n d"]:
        """Those of so many pictures; `read` gives the pictures of some numbers."""


class Searchable(Protocol):
    """Real pictures among which people are sought; `Gallery` is.

    Attributes:
      features: of the real pictures.
    """

    @property
    def features(self) -> Float[np.ndarray, "pictures d"]: ...

    def rank(
        self, features: Float[np.ndarray, "n d"], pairs: Int[np.ndarray, "n 2"]
    ) -> Ranking:
        """How well each generated picture is found as the person of its pair."""


class PictureDistance(Protocol):
    """A learnt distance of two pictures; `Lpips` is."""

    @property
    def name(self) -> str:
        """The name to report the number under."""

    def __call__(
        self, a: Float[Array, "batch height width 3"], b: Float[Array, "batch height width 3"]
    ) -> Float[Array, "batch"]:
        """Of each pair of pictures in [0, 1]."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Instruments:
    """What the metrics of one evaluation measure with; what is None or empty measures nothing.

    Attributes:
      size: (height, width) of the pictures.
      poses: reads the poses that were painted.
      field: distance of poses to the valid ones, for what they show of their joints.
      identities: reads what tells people apart.
      gallery: all real pictures of the people, as `identities` reads them.
      lpips: perceptual distances.
      networks: whose features the pictures are compared by as a set.
      references: the real pictures' features, by name of the network.
      feature_size: (height, width) at which these two see pictures; None is `size`.
      windows, sigmas: of SSIM, see `repose_jax.evaluation.metrics.ssim`.
      range_of_prediction: SSIM's Gaussian kind also by the generated picture's own range.
      mae: also the number that some scripts call so, see `repose_jax.evaluation.metrics.mae`.
      mask_lpips: also measure `lpips` on the person alone.
      drop_incomplete: size of a batch of pictures that must be full for its pictures to count in
        the networks' Frechet distances; 0 counts all.
      seed: of what is drawn.
    """

    size: tuple[int, int]
    poses: PoseJudge | None = None
    field: Callable[[Float[np.ndarray, "n joints 3"]], Float[jax.Array, "n"]] | None = None
    identities: IdentityJudge | None = None
    gallery: Searchable | None = None
    lpips: Sequence[PictureDistance] = ()
    networks: Sequence[FeatureNetwork] = ()
    references: Mapping[str, Gaussian] = dataclasses.field(default_factory=dict)
    feature_size: tuple[int, int] | None = None
    windows: tuple[int, ...] = (7, 11, 51)
    sigmas: tuple[float, ...] = (1.5,)
    range_of_prediction: bool = False
    mae: bool = False
    mask_lpips: bool = False
    drop_incomplete: int = 0
    seed: int = 0
