"""The configuration of an experiment: what a preset is and what the command line overrides."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from repose_jax.data.augment.config import AugmentConfig
from repose_jax.data.pairs import PairSource
from repose_jax.data.registry import open_dataset
from repose_jax.data.share import share_of
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
      share: of the training pictures, drawn at random by `seed` with at least one of each person;
        not for "people".
      flip: mirror half of the pairs.
      augment: further random changes to the pairs; only for training, by default none.
      workers: processes that read; 0 reads in the training process.
      cache: keep decoded pictures in memory.
      identities: how many people to render; only for "people".
      views: how many pictures of each; only for "people".
      seed: of the order of the pairs, of the share, and of the rendered people.
    """

    path: str = "people"
    share: float = 1.0
    flip: bool = True
    augment: AugmentConfig = AugmentConfig()
    workers: int = 0
    cache: bool = True
    identities: int = 2000
    views: int = 6
    seed: int = 0

    def open(self, split: str, *, skeleton: str | None = None,
             size: tuple[int, int] | None = None) -> PairSource:
        """The pictures and pairs; `skeleton`, `size` and errors are those of `open_dataset`."""
        if self.path == "people" and self.share != 1:
            raise UserError("data.share", "is of no use to rendered people",
                            "give --data.identities")
        source = open_dataset(self.path, split, skeleton=skeleton, size=size, cache=self.cache,
                              **self.people)
        return share_of(source, self.share, self.seed) if split == "train" else source

    @property
    def people(self) -> dict[str, int]:
        """The options that `open_dataset` takes for rendered people; none for other data."""
        if self.path != "people":
            return {}
        return {"identities": self.identities, "views": self.views, "seed": self.seed}

    def identity(self) -> dict[str, Any]:
        """What decides the batches of pairs; where they lie and how they are read does not.

        Changes that are off are left out, so that runs from before there were any go on.
        """
        fields = dataclasses.asdict(self)
        names = ("flip", "identities", "views", "seed")
        return {name: fields[name] for name in names} | self.changes()

    def changes(self) -> dict[str, Any]:
        """The part of `identity` that tells of augmentation and share, as far as there is any."""
        return ({"augment": self.augment.identity()} if self.augment.active else {}) | (
            {"share": self.share} if self.share != 1 else {})

    def refuse_augment(self, what: str) -> None:
        """Raises UserError where augmentation is on, for a training that would ignore it."""
        if self.augment.active:
            raise UserError(f"data.augment.{self.augment.active[0]}", f"has no effect on {what}",
                            "leave it out")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Everything `repose train` needs to know."""

    model: ModelConfig
    data: DataConfig = DataConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    sample: SampleConfig = SampleConfig()
    train: LoopConfig = LoopConfig(total_images=100_000, batch_size=16)

    def __post_init__(self):
        check_model(self.model)
        self.sample.check(self.model.schedule.steps)


def check_model(config: ModelConfig) -> None:
    """Refuses a model that cannot be built.

    Raises:
      UserError: names the first field at fault.
    """
    network, unet, rpa = config.network, config.network.unet, config.network.rpa
    levels = len(unet.channels)

    def need(good: bool, field: str, value: Any, mend: str) -> None:
        if not good:
            raise UserError(field, f"is {value}", mend)

    need(network.skeleton in SKELETONS, "model.network.skeleton", network.skeleton,
         f"choose one of {', '.join(SKELETONS)}")
    need(levels > 0 and min(unet.channels) > 0, "model.network.unet.channels", unet.channels,
         "give the channels of one level or more")
    for field in ("blocks", "heads", "patch", "refine", "groups"):
        value = getattr(unet, field)
        need(value >= 1, f"model.network.unet.{field}", value, "give 1 or more")
    need(0 <= unet.dropout < 1, "model.network.unet.dropout", unet.dropout, "give 0 to below 1")
    need(all(0 <= level < levels for level in unet.attention), "model.network.unet.attention",
         unet.attention, f"give levels from 0, the finest, to {levels - 1}")
    need(all(unet.channels[level] % unet.heads == 0 for level in {*unet.attention, levels - 1}),
         "model.network.unet.heads", unet.heads, "give a divisor of the channels that attend")
    need(len(network.encoder_channels) in (0, levels), "model.network.encoder-channels",
         network.encoder_channels, f"give {levels} numbers, or none for the U-Net's")
    need(min(network.image_size) > 0 and all(s % unet.stride == 0 for s in network.image_size),
         "model.network.image-size", network.image_size,
         f"give multiples of {unet.stride}, the coarsest cell of this network")
    need(rpa.iterations >= 0, "model.network.rpa.iterations", rpa.iterations, "give 0 or more")
    need(rpa.hidden >= 1, "model.network.rpa.hidden", rpa.hidden, "give 1 or more")
    need(not rpa.copy or config.prediction in ("x0", "preconditioned"), "model.prediction",
         config.prediction, "give x0 or preconditioned, or --model.network.rpa.no-copy")
    # Below 21 steps the linear schedule's last beta would exceed 1.
    least = 21 if config.schedule.kind == "linear" else 2
    need(config.schedule.steps >= least, "model.schedule.steps", config.schedule.steps,
         f"give {least} or more")


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
