"""Features of pictures, from a network whose weights the user has.

A distance between sets of pictures is a number of one network with one set of weights, fed in one
way. `FeatureNetwork` carries all of that in its name, so that no number stands without it.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import get_args

import jax
import numpy as np
from jaxtyping import Array, Float, UInt8

from repose_jax.common.batching import copied, part_size, parts, split
from repose_jax.common.errors import UserError
from repose_jax.common.torch_file import FROM_NAME, check_hash, read_state_dict
from repose_jax.networks.inception import (
    Inception, Params, Resize, Scaling, Tap, Variant, params_from_torch, prepare)

INCEPTION_FILES: dict[Variant, tuple[str, ...]] = {
    "tf": ("pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth"),
    "imagenet": ("inception_v3_google-0cc3c7bd.pth", "inception_v3_google-1a9a5a14.pth")}
"""Names under which the weights were published; any of a variant's will do."""

_SCALING: dict[Variant, Scaling] = {"tf": "symmetric", "imagenet": "transform"}


class WeightsAbsent(UserError):
    """A file of weights that does not come with this package is not there.

    Attributes:
      file: name of the file that was looked for.
    """

    def __init__(self, where: str | os.PathLike[str], file: str):
        self.file = file
        super().__init__(where, f"{file} is not there", "put it there, this package has no copy")


@dataclasses.dataclass(frozen=True)
class FeatureNetwork:
    """Pictures to features.

    Attributes:
      name: network, weights, features, resizing and scaling, as in
        "inception-tf-2048-bilinear-symmetric".
      extract: pictures of one size, uint8 [b, h, w, 3], to features [b, d], float32. The batch may
        be split over the local devices.
      sha256: of the file of weights.
    """

    name: str
    extract: Callable[[UInt8[Array, "b h w 3"]], Float[Array, "b d"]]
    sha256: str


def feature_network(
    name: str,
    apply: Callable[[Params, UInt8[Array, "b h w 3"]], Float[Array, "b d"]],
    params: Params,
    sha256: str,
) -> FeatureNetwork:
    """A network of a function and its parameters, which are copied to every local device."""
    params, compiled = copied(params), jax.jit(apply)
    return FeatureNetwork(name, lambda pictures: compiled(params, pictures), sha256)


def feature_batches(
    network: FeatureNetwork, pictures: Iterable[UInt8[np.ndarray, "h w 3"]], batch_size: int = 32
) -> Iterator[Float[np.ndarray, "_b d"]]:
    """Features of pictures, batch by batch.

    The last one is filled up and each is split over the local devices, see
    `repose_jax.common.batching`; no picture is left out.

    Args:
      network: see `FeatureNetwork`.
      pictures: one by one, all of one size.
      batch_size: at a time; raised to a multiple of the number of devices.

    Raises:
      ValueError: for a batch of none, or pictures that are not uint8 or of different sizes.
    """
    stream = iter(pictures)
    while batch := list(itertools.islice(stream, part_size(batch_size))):
        stacked = np.stack(batch)
        if stacked.dtype != np.uint8 or stacked.ndim != 4 or stacked.shape[3] != 3:
            raise ValueError(f"pictures must be uint8 [h, w, 3], not {stacked.dtype} "
                             f"{list(stacked.shape[1:])}")
        some, real = next(parts(len(batch), batch_size))
        yield np.asarray(network.extract(split(stacked[some])))[:real]


def features_of(
    network: FeatureNetwork, pictures: Iterable[UInt8[np.ndarray, "h w 3"]], batch_size: int = 32
) -> Float[np.ndarray, "n d"]:
    """Features of all pictures in their order; see `feature_batches`.

    Raises:
      ValueError: for no pictures, and as `feature_batches`.
    """
    found = list(feature_batches(network, pictures, batch_size))
    if not found:
        raise ValueError("features of no picture")
    return np.concatenate(found)


def inception(
    path: str | os.PathLike[str],
    variant: Variant = "tf",
    tap: Tap = "2048",
    resize: Resize = "bilinear",
    scaling: Scaling | None = None,
    sha256_prefix: str | None = FROM_NAME,
) -> FeatureNetwork:
    """Inception-v3 with the weights of a file; see `repose_jax.networks.inception`.

    The defaults are pytorch-fid's. For torch-fidelity's number resize and scaling are "tf1" and
    "tf"; for that of GFLA, PIDM, CFLD and MCLD the variant is "imagenet" and the rest as it is.
    GFLA's and PIDM's scripts also leave out the pictures that do not fill a batch of 64, see
    `repose_jax.evaluation.protocols.pairs`.

    Args:
      path: the file of weights, or a folder with one of `INCEPTION_FILES` in it.
      variant: that the weights belong to.
      tap: which features, named by their number.
      resize: of the pictures.
      scaling: of the pictures; None takes "symmetric" for "tf" and "transform" for "imagenet".
      sha256_prefix: that the file must have; see `check_hash`.

    Raises:
      WeightsAbsent: the file is not there.
      UserError: it cannot be used, or an option is not known.
    """
    scaling = _SCALING.get(variant) if scaling is None else scaling
    for option, known in ((variant, Variant), (tap, Tap), (resize, Resize), (scaling, Scaling)):
        if option not in get_args(known):
            raise UserError(str(option), "is not known", f"take one of {', '.join(get_args(known))}")
    path = _weights_file(pathlib.Path(path), INCEPTION_FILES[variant])
    digest = check_hash(path, sha256_prefix)
    params = params_from_torch(read_state_dict(path, sha256_prefix=None), variant, str(path))

    def apply(params, pictures):
        return Inception(variant).apply({"params": params}, prepare(pictures, resize, scaling))[tap]

    return feature_network(f"inception-{variant}-{tap}-{resize}-{scaling}", apply, params, digest)


def _weights_file(path: pathlib.Path, names: tuple[str, ...]) -> pathlib.Path:
    """The file that a path or folder stands for."""
    if path.is_dir():
        found = [path / name for name in names if (path / name).is_file()]
        if not found:
            raise WeightsAbsent(path, names[0])
        return found[0]
    if not path.is_file():
        raise WeightsAbsent(path, path.name)
    return path
