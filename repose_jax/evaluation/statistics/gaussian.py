"""Mean and covariance of a set of features, accumulated batch by batch, and their files.

Everything is float64 on the host. Features of many pictures need not be kept: mean and scatter
matrix are merged batch by batch, shard by shard (Chan, Golub & LeVeque 1979), which loses no digits
where the mean is large, and batches or order change nothing beyond rounding.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from repose_jax.common.arrays import read_arrays
from repose_jax.common.errors import UserError
from repose_jax.common.files import write_whole

_MEND = "give a file that `save_gaussian` or pytorch-fid wrote"


@dataclasses.dataclass(frozen=True, eq=False)
class Gaussian:
    """What the distance needs to know of a set.

    Attributes:
      mean: [d].
      covariance: [d, d], unbiased.
      count: how many features it is of; None where it is not known.
      network: name of what made the features; "" where it is not known.
    """

    mean: Float[np.ndarray, "d"]
    covariance: Float[np.ndarray, "d d"]
    count: int | None = None
    network: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """What is kept of the features seen so far.

    Attributes:
      count: how many.
      mean: [d], float64.
      scatter: [d, d], float64, sum of (x - mean)(x - mean)^T.
    """

    count: int
    mean: Float[np.ndarray, "d"]
    scatter: Float[np.ndarray, "d d"]

    def merge(self, other: Moments) -> Moments:
        """Those of both sets together.

        Raises:
          ValueError: for other numbers of features.
        """
        if self.mean.shape != other.mean.shape:
            raise ValueError(f"{self.mean.size} features do not merge with {other.mean.size}")
        count = self.count + other.count
        apart = other.mean - self.mean
        share = other.count / max(count, 1)
        between = np.outer(apart, apart) * (self.count * share)
        return Moments(count, self.mean + share * apart, self.scatter + other.scatter + between)

    def gaussian(self, network: str = "") -> Gaussian:
        """The Gaussian with their mean and unbiased covariance.

        Raises:
          ValueError: for fewer than two features, which have no covariance.
        """
        if self.count < 2:
            raise ValueError(f"{self.count} features have no covariance")
        return Gaussian(self.mean, self.scatter / (self.count - 1), self.count, network)


def moments(features: Float[np.ndarray, "n d"]) -> Moments:
    """Those of one batch, at least one feature.

    Raises:
      ValueError: for none, or for values that are not finite.
    """
    features = np.asarray(features, np.float64)
    if not len(features) or not np.isfinite(features).all():
        raise ValueError("no features, or some that are not finite")
    mean = features.mean(0)
    centred = features - mean
    return Moments(len(features), mean, centred.T @ centred)


def moments_of(batches: Iterable[Float[np.ndarray, "_n d"]]) -> Moments:
    """Those of a stream of batches, which may differ in size.

    Raises:
      ValueError: for none, or for values that are not finite.
    """
    found = None
    for batch in batches:
        found = moments(batch) if found is None else found.merge(moments(batch))
    if found is None:
        raise ValueError("no features")
    return found


def whole_batches(count: int, batch: int) -> int:
    """How many of `count` pictures a program counts that leaves out an incomplete last batch.

    All of them where there are fewer than a batch, as in GFLA's program, or where batch is 0.
    """
    return count - count % batch if 0 < batch <= count else count


def save_gaussian(path: str | os.PathLike[str], gaussian: Gaussian) -> None:
    """Writes a .npz with mu and sigma, as pytorch-fid does, and count and network beside them.

    Raises:
      UserError: where the file cannot be written.
    """
    write_whole(path, functools.partial(
        np.savez, mu=gaussian.mean, sigma=gaussian.covariance, count=gaussian.count or 0,
        network=gaussian.network))


def load_gaussian(path: str | os.PathLike[str]) -> Gaussian:
    """Reads what `save_gaussian` or pytorch-fid wrote; the latter lacks count and network.

    Raises:
      UserError: missing, damaged, without mu and sigma of matching shapes, or not finite.
    """
    parts = read_arrays(path, _MEND)
    mean, covariance = (parts.get(name, np.zeros(0)) for name in ("mu", "sigma"))
    if mean.ndim != 1 or not mean.size or covariance.shape != 2 * mean.shape or not (
            mean.dtype.kind == covariance.dtype.kind == "f"):
        raise UserError(path, "lacks mu [d] and sigma [d, d]", _MEND)
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise UserError(path, "has values that are not finite", _MEND)
    count, network = parts.get("count", np.array(0)), parts.get("network", np.array(""))
    if count.shape or network.shape or count.dtype.kind not in "iu" or network.dtype.kind != "U" or (
            count < 0):
        raise UserError(path, "has a count or a network that is none", _MEND)
    return Gaussian(mean.astype(np.float64), covariance.astype(np.float64), int(count) or None,
                    str(network))
