"""Fréchet distance of two sets of features, taken for Gaussians (Heusel et al. 2017).

  d^2 = |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1^(1/2) S2 S1^(1/2))^(1/2))

with the means m and the unbiased covariances S; 0 for equal sets, and in the square of the
features' unit. With Inception's 2048 features it is the FID. It depends on the weights, on how
pictures are resized and scaled, and on how many there are: a Gaussian fitted to few pictures is
narrow, so the distance of small sets is too large (Binkowski et al. 2018). Name all of them.
Everything is float64 on the host; see `repose_jax.evaluation.statistics.gaussian`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.evaluation.metrics.features import FeatureNetwork, features_of
from repose_jax.evaluation.metrics.identity import REID, identity_features
from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.metric import Facts, MetricFamily, Score
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.statistics.gaussian import Gaussian, moments, whole_batches
from repose_jax.evaluation.statistics.statistic import OfSet


def _root(covariance: np.ndarray) -> np.ndarray:
    """R of rank r with R R^T = S, [d, r].

    Fewer features than numbers in each leave S without full rank, and its eigenvalues of zero come
    back as noise either side of it, whose square roots are no longer small; they are cut off where
    numpy's matrix_rank cuts.
    """
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    kept = values > values.size * np.finfo(np.float64).eps * max(values.max(), 0)
    return vectors[:, kept] * np.sqrt(values[kept])


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """The squared Fréchet distance d^2 of two Gaussians, which is what is reported as FID.

    With S1 = R1 R1^T and S2 = R2 R2^T, the eigenvalues of S1^(1/2) S2 S1^(1/2) are the squares of
    the singular values of R1^T R2, so that the trace is their sum: no root of a matrix that is not
    symmetric, nothing complex, and no constant added where the covariances are singular.

    Raises:
      UserError: for features of two networks, or of different numbers.
      ValueError: for values that are not finite.
    """
    if a.mean.shape != b.mean.shape or (a.network and b.network and a.network != b.network):
        names = [f"{set_.network or 'an unnamed network'} ({set_.mean.size})" for set_ in (a, b)]
        raise UserError("features", f"are of {names[0]} and of {names[1]}",
                        "use one network for both")
    means, covariances = ([np.asarray(part, np.float64) for part in pair] for pair in (
        (a.mean, b.mean), (a.covariance, b.covariance)))
    if not all(np.isfinite(part).all() for part in (*means, *covariances)):
        raise ValueError("a mean or covariance is not finite")
    first, second = (_root(covariance) for covariance in covariances)
    overlap = np.linalg.svd(first.T @ second, compute_uv=False).sum() if (
        first.size and second.size) else 0.0
    apart = means[0] - means[1]
    distance = apart @ apart + sum(np.trace(part) for part in covariances) - 2 * overlap
    # Only rounding makes it negative.
    return max(float(distance), 0.0)


def _scores(by: Instruments) -> Iterator[Score]:
    for network in by.networks:
        yield Score(f"frechet_{network.name}", functools.partial(_features, by, network),
                    OfSet(functools.partial(_to_reference, by, network.name)), kept=network.name)
    if by.gallery is not None:
        real = by.gallery.features
        yield Score("frechet_reid", identity_features(by), OfSet(
            lambda own: math.nan if len(own) < 2 else frechet_distance(
                moments(own).gaussian(), moments(real).gaussian())), kept=REID, of_gallery=True)


def _features(by: Instruments, network: FeatureNetwork, batch: PictureBatch) -> np.ndarray:
    return features_of(network, batch.at_size("generated", by.feature_size), len(batch))


def _to_reference(by: Instruments, name: str, features: np.ndarray) -> float:
    counted = features[:whole_batches(len(features), by.drop_incomplete)]
    return frechet_distance(moments(counted).gaussian(name), by.references[name])


METRIC = MetricFamily("set", {"frechet*": Facts("Frechet distance,", "lower", 2)}, _scores)
