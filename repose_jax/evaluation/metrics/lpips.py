"""Learned perceptual distance, LPIPS version 0.1 (Zhang, Isola, Efros, Shechtman, Wang 2018).

  d(a, b) = sum_l mean_yx sum_c w_lc (u_lc(a) - u_lc(b))^2        (equation 1 of the paper)

u_l are the activations of tap l of a network trained on ImageNet, each pixel's divided by its norm
over the channels; w_l >= 0 are learned ("linear" heads: the network itself is as torchvision
publishes it). Equal to `lpips.LPIPS(net=kind, version="0.1")` of the package `lpips`, and to what
papers on person pictures call LPIPS; they differ in the network ("alex", "vgg" or
"squeeze") and in the size of the pictures, and each choice moves the number, so name both.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from repose_jax.common.batching import split
from repose_jax.common.discovery import packaged_file
from repose_jax.common.errors import UserError
from repose_jax.evaluation.metrics.instruments import Instruments, PictureDistance
from repose_jax.evaluation.metrics.metric import Facts, MetricFamily, Score
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.networks.lpips_backbones import (
    TAP_CHANNELS, BackboneName, LpipsBackbone, backbone_params, check_state)

# ImageNet's channels in [0, 1]. The scaling layer of Zhang et al. says the same of [-1, 1].
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
# Keeps a pixel without any activation from dividing by 0.
_TINY = 1e-10


@functools.partial(jax.jit, static_argnames="kind")
def _distance(kind: str, params: Any, heads: tuple[Array, ...], a: Array, b: Array) -> Array:
    pictures = (jnp.concatenate([a, b]).astype(jnp.float32) - _MEAN) / _DEVIATION
    total = jnp.zeros(len(a))
    for tap, head in zip(LpipsBackbone(kind).apply(params, pictures), heads):
        norm = jnp.sqrt(jnp.square(tap).sum(-1, keepdims=True))
        unit_a, unit_b = jnp.split(tap / (norm + _TINY), 2)
        total += (jnp.square(unit_a - unit_b) * head).sum(-1).mean((1, 2))
    return total


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Lpips:
    """A distance between pictures, on the device.

    Attributes:
      kind: the network, "alex", "vgg" or "squeeze".
      sha256: of the network's and the heads' arrays (in the order of their names, as float32), in
        hexadecimal; it does not depend on the file that they came in.
      params: of `LpipsBackbone(kind)`.
      heads: weight of each channel of each tap, not negative.
    """

    kind: BackboneName
    sha256: str
    params: Any = dataclasses.field(repr=False)
    heads: tuple[Float[Array, "_c"], ...] = dataclasses.field(repr=False)

    @property
    def name(self) -> str:
        """The name to report the number under: "lpips-alex", ..."""
        return f"lpips-{self.kind}"

    def __call__(
        self,
        a: Float[Array, "batch height width 3"],
        b: Float[Array, "batch height width 3"],
    ) -> Float[Array, "batch"]:
        """The distance of each pair; 0 for identical pictures, symmetric.

        Args:
          a, b: pictures in [0, 1], RGB.

        Raises:
          ValueError: for shapes that differ, or pictures too small for the network.
        """
        if a.shape != b.shape:
            raise ValueError(f"pictures of shapes {a.shape} and {b.shape} cannot be compared")
        return _distance(self.kind, self.params, self.heads, a, b)


def _digest(*states: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for state in states:
        for name in sorted(state):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(state[name], np.float32).tobytes())
    return digest.hexdigest()


def lpips_from_states(
    kind: BackboneName,
    backbone: Mapping[str, np.ndarray],
    heads: Mapping[str, np.ndarray],
    backbone_file: str | os.PathLike[str] = "backbone",
    heads_file: str | os.PathLike[str] = "heads",
) -> Lpips:
    """LPIPS from weights in memory.

    Args:
      kind: the network.
      backbone: torchvision's names and arrays, see `backbone_params`.
      heads: "lin0.model.1.weight" [1, channels, 1, 1], ..., one for each tap, as in the weights of
        the package `lpips`.
      backbone_file, heads_file: where they come from, for errors.

    Raises:
      UserError: for arrays missing or of another shape, and for heads with a negative weight.
      ValueError: for an unknown network.
    """
    if kind not in get_args(BackboneName):
        raise ValueError(f"unknown network {kind!r}, there are {', '.join(get_args(BackboneName))}")
    params = backbone_params(kind, backbone, os.fspath(backbone_file))
    names = [f"lin{number}.model.1.weight" for number in range(len(TAP_CHANNELS[kind]))]
    expected = {name: (1, channels, 1, 1) for name, channels in zip(names, TAP_CHANNELS[kind])}
    check_state(heads, expected, os.fspath(heads_file), f"the heads v0.1/{kind}.pth of `lpips`")
    negative = [name for name in names if (heads[name] < 0).any()]
    if negative:
        raise UserError(heads_file, f"{negative[0]!r} has negative weights, with which this is no "
                                    "distance", "give the heads of the package `lpips`")
    used = {name: array for name, array in backbone.items() if name.startswith("features.")}
    return Lpips(
        kind=kind, sha256=_digest(used, {name: heads[name] for name in names}), params=params,
        heads=tuple(jnp.asarray(heads[name].reshape(-1), jnp.float32) for name in names))


def published_heads(kind: BackboneName) -> pathlib.Path:
    """The file of the heads in the installed package `lpips`, which is not imported.

    Raises:
      UserError: if it is not installed, or holds no such file.
    """
    return packaged_file("lpips", f"weights/v0.1/{kind}.pth", "the heads of LPIPS",
                         "pip install lpips", "name the file of the heads")


def load_lpips(
    backbone: BackboneName,
    backbone_file: str | os.PathLike[str],
    heads_file: str | os.PathLike[str] | None = None,
) -> Lpips:
    """LPIPS from files that torch wrote.

    Args:
      backbone: the network, "alex", "vgg" or "squeeze".
      backbone_file: torchvision's ImageNet weights of `alexnet`, `vgg16` or `squeezenet1_1`
        (IMAGENET1K_V1, the ones the heads were learned for), under the name they are published
        with, whose hash is checked.
      heads_file: None takes the heads of the installed package `lpips`.

    Raises:
      UserError: for a file that cannot be read or holds other weights; if no heads are named and
        `lpips` is not installed.
    """
    from repose_jax.common.torch_file import read_state_dict

    heads_file = published_heads(backbone) if heads_file is None else heads_file
    # The heads' files carry no hash in their names.
    return lpips_from_states(backbone, read_state_dict(backbone_file),
                             read_state_dict(heads_file, sha256_prefix=None),
                             backbone_file, heads_file)


def _scores(by: Instruments) -> Iterator[Score]:
    for lpips in by.lpips:
        yield Score(lpips.name, functools.partial(_whole, lpips, by.feature_size))
    for lpips in by.lpips if by.mask_lpips else ():
        yield Score(f"mask-{lpips.name}", functools.partial(_of_person, lpips))


def _whole(lpips: PictureDistance, size: tuple[int, int] | None, batch: PictureBatch) -> np.ndarray:
    return np.asarray(lpips(batch.on_devices("generated", size), batch.on_devices("target", size)))


def _of_person(lpips: PictureDistance, batch: PictureBatch) -> np.ndarray:
    """The distance of the person alone, as GFLA's script has it for Market-1501.

    It multiplies pictures in [-1, 1] by the mask, so that what lies outside of it is not black but
    mid-grey. Its mask, of 18 joints with discs and rectangles of radius 4, is not quite that of
    `person_mask`, less so for a skeleton of fewer joints. NaN where the target pose says nothing of
    where the person is.
    """
    mask = batch.person()
    a, b = (split(np.where(mask[..., None], pictures, np.float32(0.5)))
            for pictures in (batch.unit("generated"), batch.unit("target")))
    return np.where(mask.any((1, 2)), lpips(a, b), np.nan)


METRIC = MetricFamily("perception", {
    "lpips*": Facts("LPIPS", "lower"),
    "mask-lpips*": Facts("LPIPS of the person", "lower")}, _scores)
