"""The configuration of an experiment: what a preset is and what the command line overrides."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from repose_jax.errors import UserError
from repose_jax.generate import SampleConfig
from repose_jax.model import ModelConfig, ObjectiveConfig
from repose_jax.pose.skeleton import SKELETONS
from repose_jax.training.loop import LoopConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the pairs come from.

    Attributes:
      path: "people", or a folder in any layout that `repose data check` knows.
      flip: mirror half of the pairs.
      workers: processes that read; 0 reads in the training process.
      cache: keep decoded pictures in memory.
      identities: how many people to render; only for "people".
      views: how many pictures of each; only for "people".
      seed: of the order of the pairs, and of the rendered people.
    """

    path: str = "people"
    flip: bool = True
    workers: int = 0
    cache: bool = True
    identities: int = 2000
    views: int = 6
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Everything `repose train` needs to know."""

    model: ModelConfig
    data: DataConfig = DataConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    sample: SampleConfig = SampleConfig()
    train: LoopConfig = LoopConfig(total_images=100_000, batch_size=16)

    def __post_init__(self):
        network = self.model.network
        if network.skeleton not in SKELETONS:
            raise UserError("model.network.skeleton", f"is {network.skeleton}",
                            f"choose one of {', '.join(SKELETONS)}")
        stride = network.unet.stride
        if any(side % stride for side in network.image_size):
            raise UserError("model.network.image-size", f"is {network.image_size}",
                            f"give multiples of {stride}, the coarsest cell of this network")


def to_dict(config: Any) -> Any:
    """A dataclass as JSON-able dicts and lists."""
    if dataclasses.is_dataclass(config):
        return {f.name: to_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, (tuple, list)):
        return [to_dict(item) for item in config]
    return config


def from_dict(kind: Any, values: Any, where: str = "configuration") -> Any:
    """The dataclass that `to_dict` wrote.

    Fields that are absent keep their defaults, so that an older file stays readable.

    Raises:
      UserError: for a field that the dataclass does not have, naming it.
    """
    if not dataclasses.is_dataclass(kind):
        return tuple(values) if isinstance(values, list) else values
    hints = typing.get_type_hints(kind)
    unknown = set(values) - set(hints)
    if unknown:
        raise UserError(where, f"has unknown fields {', '.join(sorted(unknown))}",
                        "it was written by another version of this package")
    return kind(**{name: from_dict(hints[name], value, f"{where}.{name}")
                   for name, value in values.items()})
