"""Networks that others published and this package may not ship: LPIPS and Inception.

They are read from a folder of the user's, under the names that torch's hub gives the files; what is
not there is said to be absent, never replaced by something similar.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8

from repose_jax.common.torch_file import check_hash
from repose_jax.data.pairs.source import PairSource
from repose_jax.evaluation.metrics.features import (
    FeatureNetwork, WeightsAbsent, feature_batches, inception)
from repose_jax.evaluation.metrics.lpips import Lpips, load_lpips
from repose_jax.evaluation.metrics.picture_batch import at_size
from repose_jax.evaluation.protocols.human_art import HumanArtProtocol
from repose_jax.evaluation.protocols.pairs import Protocol
from repose_jax.evaluation.statistics.gaussian import (
    Gaussian, load_gaussian, moments_of, save_gaussian, whole_batches)

# Any of a network's names will do: the weights are the same.
_BACKBONES = {
    "alex": ("alexnet-owt-7be5be79.pth", "alexnet-owt-4df8aa71.pth"),
    "vgg": ("vgg16-397923af.pth",),
    "squeeze": ("squeezenet1_1-b8a52dc0.pth", "squeezenet1_1-f364aa15.pth")}
_AT_ONCE = 32


@dataclasses.dataclass(frozen=True)
class Published:
    """The networks of a protocol that were found.

    Attributes:
      lpips, networks: as `repose_jax.evaluation.metrics.instruments.Instruments` takes them.
      absent: one sentence for each that was not found.
    """

    lpips: tuple[Lpips, ...]
    networks: tuple[FeatureNetwork, ...]
    absent: tuple[str, ...]


def published(rules: Protocol | None, folder: str | os.PathLike[str] | None) -> Published:
    """The networks that a protocol wants, from a folder; without a protocol LPIPS and the TF-FID.

    Args:
      rules: the protocol.
      folder: of the weights; None finds none.

    Raises:
      UserError: a file is there and cannot be used.
    """
    backbone = "alex" if rules is None else rules.lpips
    variant = "tf" if rules is None else rules.inception
    names = {f"lpips-{backbone}": _BACKBONES[backbone][0], f"inception-{variant}": "its weights"}
    if folder is None:
        return Published((), (), tuple(
            f"{name}: absent, no folder of weights was given" for name in names))
    folder, lpips, networks, absent = pathlib.Path(folder), (), (), []
    found = [folder / name for name in _BACKBONES[backbone] if (folder / name).is_file()]
    if found:
        check_hash(found[0])
        lpips = (load_lpips(backbone, found[0]),)
    else:
        absent.append(f"lpips-{backbone}: absent, {_BACKBONES[backbone][0]} is not in the folder")
    try:
        networks = (inception(folder, variant),)
    except WeightsAbsent as error:
        absent.append(f"inception-{variant}: absent, {error.file} is not in the folder")
    return Published(lpips, networks, tuple(absent))


def human_art_networks(
    rules: HumanArtProtocol, folder: str | os.PathLike[str] | None
) -> tuple[dict[str, FeatureNetwork], tuple[str, ...]]:
    """The networks of "frechet" and "kid", and a sentence for each of the two that is absent.

    Raises:
      UserError: the file is there and cannot be used.
    """
    found, absent = {}, []
    for name, tap in (("frechet", rules.frechet_tap), ("kid", rules.kernel_tap)):
        if folder is None:
            absent.append(f"{name}: absent, no folder of weights was given")
            continue
        try:
            found[name] = inception(folder, rules.inception, tap, rules.resize, rules.scaling)
        except WeightsAbsent as error:
            absent.append(f"{name}: absent, {error.file} is not in the folder")
    return found, tuple(absent)


def reference(
    network: FeatureNetwork, train: PairSource, size: tuple[int, int] | None,
    cache: str | os.PathLike[str], drop_incomplete: int = 0,
) -> Gaussian:
    """Statistics of all training pictures, from a file where they were computed before.

    Args:
      network: whose features.
      train: the pictures.
      size: (height, width) at which it sees them; None leaves them as they are.
      cache: folder of such files.
      drop_incomplete: size of a batch that must be full to count; 0 counts all pictures.

    Raises:
      UserError: a file cannot be read or written.
    """
    counted = whole_batches(len(train), drop_incomplete)
    decides = hashlib.sha256(repr((network.name, network.sha256, size, train.size,
                                   train.names[:counted])).encode())
    for index in np.linspace(0, len(train) - 1, min(16, len(train))).astype(int):
        decides.update(train.image(int(index)).tobytes())
    path = pathlib.Path(cache) / f"{network.name}-{decides.hexdigest()[:16]}.npz"
    if path.is_file():
        return load_gaussian(path)

    def pictures() -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        for index in range(counted):
            yield at_size(train.image(index)[None], size)[0]

    found = moments_of(feature_batches(network, pictures(), _AT_ONCE)).gaussian(network.name)
    save_gaussian(path, found)
    return found
