"""Kernel Inception distance (Binkowski et al. 2018): maximum mean discrepancy of two sets.

With the kernel k(x, y) = (x . y / d + 1)^3 of d features, over subsets of m from each set,

  MMD^2 = sum_{i != j} [k(x_i, x_j) + k(y_i, y_j)] / (m (m - 1)) - 2 sum_{ij} k(x_i, y_j) / m^2

Unlike the Fréchet distance it is unbiased, so that small sets may be compared; for equal
distributions its mean is 0 and single values lie either side. Float64 on the host.
"""

from __future__ import annotations

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


class KernelDistance(NamedTuple):
    """Over subsets.

    Attributes:
      mean: the distance.
      std: standard deviation of the subsets' values (divided by their number, as is customary); no
        standard error of the mean, as the subsets overlap.
    """

    mean: float
    std: float


def polynomial_mmd(x: Float[np.ndarray, "m d"], y: Float[np.ndarray, "n d"]) -> float:
    """Unbiased MMD^2 of two sets, at least two of each; the numbers may differ."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)

    def kernel(p, q):
        return (p @ q.T / p.shape[1] + 1) ** 3

    def within(p):
        values = kernel(p, p)
        return (values.sum() - np.trace(values)) / (len(p) * (len(p) - 1))

    return float(within(x) + within(y) - 2 * kernel(x, y).mean())


def kernel_distance(
    real: Float[np.ndarray, "n d"],
    fake: Float[np.ndarray, "m d"],
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> KernelDistance:
    """Mean and deviation of MMD^2 over random subsets, drawn without replacement.

    Args:
      real, fake: features.
      subsets: how many are drawn.
      subset_size: features in each; 1000 is customary, and part of the number's name.
      seed: of the drawing.

    Raises:
      UserError: for a subset larger than a set, or too small.
      ValueError: for different numbers of features.
    """
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"{real.shape[1]} features have no distance to {fake.shape[1]}")
    if not 2 <= subset_size <= min(len(real), len(fake)) or subsets < 1:
        raise UserError("subsets", f"are {subsets} of {subset_size}, from {len(real)} and "
                        f"{len(fake)} pictures", "draw some, of 2 pictures to the smaller number")
    rng = np.random.default_rng(seed)
    values = [polynomial_mmd(*(features[rng.choice(len(features), subset_size, replace=False)]
                               for features in (real, fake))) for _ in range(subsets)]
    return KernelDistance(float(np.mean(values)), float(np.std(values)))


def _scores(by: Instruments) -> Iterator[Score]:
    if by.gallery is not None:
        real = by.gallery.features
        yield Score("kid_reid", identity_features(by), OfSet(
            lambda own: math.nan if len(own) < 2 else polynomial_mmd(real, own)),
            kept=REID, of_gallery=True)


METRIC = MetricFamily("set", {"kid*": Facts("KID,", "lower", decides=True)}, _scores)
