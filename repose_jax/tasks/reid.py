"""A re-identification network that learns from the pictures of many people."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8

from repose_jax.common.batching import in_parts
from repose_jax.common.errors import UserError
from repose_jax.common.fields import added, to_dict
from repose_jax.common.ranges import Positive, Range, check_fields
from repose_jax.common.signal import to_signal
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.source import PairSource
from repose_jax.data.pairs.subset import numbered
from repose_jax.models.pose_transfer import Params
from repose_jax.models.weights import load_weights
from repose_jax.networks.apply import apply
from repose_jax.networks.reid import ReidConfig, ReidNetwork, cross_entropy, fresh_reid
from repose_jax.tasks.drawn_batches import DrawnBatches
from repose_jax.tasks.reid_augment import augmented
from repose_jax.tasks.task import Stream, Task, digest
from repose_jax.training.config import LoopConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReidExperiment:
    """A re-identification network and what it learns from.

    Attributes:
      reid: the network; `people` is that of the data.
      data: whose training pictures; `flip` is not used, pictures are always mirrored in half of
        the cases.
      per_person: pictures of each person in a batch.
      margin: by which cosines with the right person have to exceed the others, see `cross_entropy`.
      train: the course of training.
    """

    reid: ReidConfig = ReidConfig()
    data: DataConfig = DataConfig()
    per_person: Positive = 4
    margin: Annotated[float, Range(0, 1)] = added(0.0)
    train: LoopConfig = LoopConfig(total_images=400_000, batch_size=64)

    def __post_init__(self):
        check_fields(self)
        cfg = self.reid
        if not cfg.channels:
            raise UserError("reid.channels", "is empty", "give the channels of 1 or more levels")
        stride = cfg.patch * 2 ** (len(cfg.channels) - 1)
        if any(side % stride for side in cfg.image_size) or (
                cfg.image_size[0] // stride % cfg.parts):
            raise UserError("reid.image_size", f"is {cfg.image_size}", f"give multiples of "
                            f"{stride}, the height of {stride * cfg.parts}")
        if self.train.batch_size % self.per_person:
            raise UserError("per_person", f"is {self.per_person} at a batch of "
                            f"{self.train.batch_size}", "give a divisor of the batch")

    def task(self, init: str | os.PathLike[str] | None = None) -> ReidTask:
        """See `repose_jax.tasks.task.Experiment`."""
        return ReidTask(self, init)


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of people, numbered from 0.

    Attributes:
      read: gives picture i.
      person: number of the person in each picture; those of generated pictures follow the real.
      real: how many are real.
      digest: of the names of the real pictures and of the generated ones.
      identity: digests of what is learnt from, so that a run is not continued with other pictures.
    """

    read: Callable[[int], UInt8[np.ndarray, "h w 3"]]
    person: Int[np.ndarray, "n"]
    real: int
    digest: str = ""
    identity: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def generated(self) -> int:
        """How many are generated."""
        return len(self.person) - self.real

    @property
    def people(self) -> int:
        """How many people there are."""
        return int(self.person.max()) + 1


def real_pictures(source: PairSource) -> Pictures:
    """The pictures of a dataset."""
    return Pictures(source.image, numbered(source.persons), len(source),
                    hashlib.sha256("\n".join(source.names).encode()).hexdigest(),
                    {name: digest for name, digest in source.identity.items() if name != "poses"})


def with_generated(
    pictures: Pictures, generated: UInt8[np.ndarray, "n h w 3"], person: Int[np.ndarray, "n"]
) -> Pictures:
    """Real pictures and generated ones of the same people."""
    count = len(pictures.person)

    def read(i: int):
        return pictures.read(i) if i < count else generated[i - count]

    digest = hashlib.sha256(pictures.digest.encode() + generated.tobytes()).hexdigest()
    return Pictures(read, np.concatenate([pictures.person, person]), pictures.real, digest,
                    pictures.identity)


class PeopleBatches(DrawnBatches):
    """Endless batches of a few pictures each of random people.

    A person with too few pictures lends some of them twice.
    """

    def __init__(self, pictures: Pictures, *, batch_size: int, per_person: int, seed: int):
        super().__init__(seed)
        order = np.argsort(pictures.person, kind="stable")
        counts = np.bincount(pictures.person)
        self._of = np.split(order, np.cumsum(counts)[:-1])
        self._pictures, self._each = pictures, per_person
        self._people = batch_size // per_person
        if len(self._of) < self._people:
            raise UserError("batch_size", f"asks for {self._people} people, the data has "
                            f"{len(self._of)}", "give a smaller batch or more pictures a person")

    def draw(self, rng: np.random.Generator, position: int) -> Mapping[str, np.ndarray]:
        chosen = []
        for person in rng.choice(len(self._of), self._people, replace=False):
            mine = self._of[person]
            chosen.append(rng.choice(mine, self._each, replace=len(mine) < self._each))
        chosen = np.concatenate(chosen)
        return {"image": np.stack([self._pictures.read(int(i)) for i in chosen]),
                "person": self._pictures.person[chosen].astype(np.int32)}


def reid_loss(
    network: ReidNetwork, params: Params, batch: Mapping[str, Array], keys: Key[Array, "batch"],
    margin: float = 0.0,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Cross-entropy over the people, of pictures changed at random; see `cross_entropy`."""
    images = augmented(to_signal(batch["image"]), keys)
    cosines = apply(network, params, images, train=True).cosines
    right = (cosines.argmax(1) == batch["person"]).mean()
    return cross_entropy(cosines, batch["person"], margin).mean(), {"right": right}


def moments(
    network: ReidNetwork, params: Params, pictures: Pictures, at_once: int = 64
) -> dict[str, Float[np.ndarray, "embedding"]]:
    """Mean and deviation of the raw vectors over all pictures, by the names of the parameters."""
    read = functools.partial(jax.jit(
        lambda params, images: apply(network, params, to_signal(images)).raw), params)
    raw = in_parts(read, lambda some: np.stack([pictures.read(int(i)) for i in some]),
                   len(pictures.person), at_once).astype(np.float64)
    return {"mean": raw.mean(0).astype(np.float32),
            "deviation": np.sqrt(raw.var(0) + 1e-5).astype(np.float32)}


class ReidTask(Task):
    """Trains the network of an experiment; how many people it tells apart is the data's affair.

    Args:
      experiment: what is trained.
      init: weights to start from.
      pictures: what to learn from in place of the experiment's data.
    """

    kind = "reid"

    def __init__(self, experiment: ReidExperiment, init: str | os.PathLike[str] | None = None,
                 pictures: Pictures | None = None):
        self.experiment, self.config, self.loop = experiment, experiment.reid, experiment.train
        self._init, self.pictures = init, pictures

    def init(self, key: Key[Array, ""]) -> Params:
        return fresh_reid(self.config)(key)

    def data(self, folder: pathlib.Path) -> Stream:
        data, notes = self.experiment.data, []
        data.refuse_augment("re-identification, which has changes of its own")
        if self.pictures is None:
            source = data.open("train", size=self.config.image_size)
            notes += [("data", text) for text in source.notes]
            self.pictures = real_pictures(source)
        pictures = self.pictures
        self.config = dataclasses.replace(self.config, people=pictures.people)
        if self._init is not None:
            self.given = load_weights(self._init, self.kind, ReidConfig, fresh_reid,
                                      like=self.config).params
        notes.append(("pictures", f"{pictures.real} real and {pictures.generated} generated ones "
                      f"of {pictures.people} people"))
        return Stream(PeopleBatches(pictures, batch_size=self.loop.batch_size,
                                    per_person=self.experiment.per_person, seed=data.seed),
                      pictures.identity, notes)

    def loss(self, params, frozen, batch, keys):
        return reid_loss(ReidNetwork(self.config), params, batch, keys, self.experiment.margin)

    @property
    def _known(self) -> Pictures:
        assert self.pictures is not None, "`data` comes before"
        return self.pictures

    def identity(self) -> dict[str, Any]:
        return {"reid": to_dict(self.config), "per_person": self.experiment.per_person,
                "data_seed": self.experiment.data.seed,
                **({"margin": self.experiment.margin} if self.experiment.margin else {}),
                "people": hashlib.sha256(self._known.person.tobytes()).hexdigest(),
                "pictures": self._known.digest,
                "init": None if self.given is None else digest(self.given)}

    def finish(self, params: Params) -> Params:
        return params | moments(ReidNetwork(self.config), params, self._known)

    def facts(self, images: int) -> dict[str, Any]:
        return {"images": images, "real": self._known.real, "generated": self._known.generated,
                "data": self.experiment.data.name}
