"""Do generated pictures look like real ones, and do all real ones have their like?

Each set's manifold is the union of balls around its features that reach their k-th nearest
neighbour within the set. Precision is the share of generated features inside the real manifold,
recall that of real features inside the generated one (Kynkäänniemi et al. 2019). An outlier's ball
is large, which both suffer from; density counts in how many real balls a generated feature lies,
over k, and coverage the share of real balls with a generated feature in them (Naeem et al. 2020).
All are in [0, 1] but density, which may exceed 1. Float64 on the host, block by block.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from repose_jax.common.errors import UserError
from repose_jax.evaluation.metrics.identity import REID, identity_features
from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.metric import Facts, MetricFamily, Score
from repose_jax.evaluation.statistics.statistic import OfSet

_NEIGHBOURS = 3  # of Kynkäänniemi et al.
_VALUES_AT_ONCE = 1 << 23


class Manifolds(NamedTuple):
    """How two sets cover each other; see the module's header."""

    precision: float
    recall: float
    density: float
    coverage: float


def _squared_distances(
    x: np.ndarray, y: np.ndarray
) -> Iterator[tuple[slice, Float[np.ndarray, "_rows m"]]]:
    """Blocks of rows of the squared distances of x [n, d] to y [m, d]."""
    squares = np.einsum("nd,nd->n", y, y)
    step = max(1, _VALUES_AT_ONCE // len(y))
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        both = np.einsum("nd,nd->n", x[rows], x[rows])[:, None] + squares
        apart = both - 2 * x[rows] @ y.T
        # Equal features must be at distance 0, or rounding decides who lies in an empty ball.
        yield rows, np.where(apart < 1e-12 * both, 0, apart)


def _squared_radii(x: np.ndarray, neighbours: int) -> Float[np.ndarray, "n"]:
    # A feature is its own nearest, which makes the k-th neighbour the k + 1-st smallest.
    return np.concatenate([np.partition(block, neighbours, axis=1)[:, neighbours]
                           for _, block in _squared_distances(x, x)])


def manifolds(
    real: Float[np.ndarray, "n d"], fake: Float[np.ndarray, "m d"], neighbours: int = 3
) -> Manifolds:
    """Precision, recall, density and coverage.

    Args:
      real, fake: features. The numbers depend on how many there are; equal numbers are customary.
      neighbours: k. Kynkäänniemi et al. take 3 with 50 000 pictures, Naeem et al. 5.

    Raises:
      UserError: for sets with no k-th neighbour.
      ValueError: for different numbers of features.
    """
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"{real.shape[1]} features do not compare with {fake.shape[1]}")
    if not 1 <= neighbours < min(len(real), len(fake)):
        raise UserError("neighbours", f"are {neighbours}, of {len(real)} and {len(fake)} pictures",
                        "take 1 or more, and fewer than there are pictures")
    # Distances do not see a shift, but |x|^2 + |y|^2 - 2 x.y cancels less once it is gone.
    centre = np.mean(real, 0, dtype=np.float64)
    real, fake = np.asarray(real, np.float64) - centre, np.asarray(fake, np.float64) - centre
    real_radii, fake_radii = (_squared_radii(x, neighbours) for x in (real, fake))
    holds, balls_with = np.zeros(len(fake)), np.zeros(len(real), bool)
    recalled = np.zeros(len(real), bool)
    for rows, block in _squared_distances(real, fake):
        inside = block <= real_radii[rows, None]
        holds += inside.sum(0)
        balls_with[rows] = inside.any(1)
        recalled[rows] = (block <= fake_radii).any(1)
    return Manifolds(float((holds > 0).mean()), float(recalled.mean()),
                     float(holds.mean() / neighbours), float(balls_with.mean()))


def _scores(by: Instruments) -> Iterator[Score]:
    if by.gallery is None:
        return
    real = by.gallery.features
    last: list = []  # one pass over all distances gives both numbers of a set

    def overlap(features: np.ndarray) -> Manifolds | None:
        if not _NEIGHBOURS < len(features) <= len(real):
            return None
        if not last or not np.array_equal(last[0], features):
            # The numbers are of sets of one size.
            some = np.random.default_rng(by.seed).permutation(len(real))[:len(features)]
            last[:] = features, manifolds(real[some], features, _NEIGHBOURS)
        return last[1]

    def one(name: str, features: np.ndarray) -> float:
        return getattr(overlap(features), name, math.nan)

    for name in ("precision", "recall"):
        yield Score(f"{name}_reid", identity_features(by), OfSet(functools.partial(one, name)),
                    kept=REID, of_gallery=True)


METRIC = MetricFamily("set", {"precision*": Facts("precision,", "higher", 3),
                              "recall*": Facts("recall,", "higher", 3)}, _scores)
