"""Where the pairs come from: what a preset says of its data, and the command line overrides."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Annotated, Any

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.common.fields import added
from repose_jax.common.ranges import (
    Bodies, Cloth, Framing, Heads, Natural, Positive, Range, Scene, Seed, Workers, check_fields)
from repose_jax.data.augment.config import AugmentConfig
from repose_jax.data.pairs.cameras import by_one_camera
from repose_jax.data.pairs.joined import joined
from repose_jax.data.pairs.source import PairSource
from repose_jax.data.pairs.stream import Batches, batches
from repose_jax.data.pairs.subset import numbered, share_of
from repose_jax.data.people.world import World
from repose_jax.data.registry import open_dataset


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the pairs come from.

    Attributes:
      path: "people", or a folder in any layout that `repose data check` knows.
      share: of the training pictures, drawn at random by `seed` with at least one of each person;
        not for "people".
      hold_out: people, drawn by `seed`, whom training leaves out, to choose by.
      one_camera: only pairs that one camera took, in one light and place; for data that tell.
      flip: mirror half of the pairs.
      augment: further random changes to the pairs; only for training, by default none.
      workers: processes that read; 0 reads in the training process.
      cache: keep decoded pictures in memory.
      identities: how many people to render; only for "people".
      views: how many pictures of each; only for "people".
      scene: light and background anew in each of a person's pictures ("view"), or the same in all
        ("person"); only for "people".
      framing: people from head to foot ("whole"), or also parts of them in photos of other aspects
        ("any"); only for "people".
      cloth: "smooth" without folds; "creased", and prints of more kinds; or "loose", creased, in half
        of all cases wide, and long hair before the shoulders; only for "people".
      heads: "following" the trunk, mostly; "turning" aside, too; or "lifelike", turning, with faces as
        photos have them; only for "people".
      bodies: of "cones", or of "makehuman": MakeHuman's mesh, with faces and hands, which the extra
        `bodies` brings; only for "people".
      also: a second source of pairs, "people" or a folder, to mix with `path`: photos with rendered
        people. What is said here of one kind of data holds for those of the two that are of it.
      also_share: how many of all pairs are of the second source.
      seed: of the order of the pairs, of the share, and of the rendered people.
    """

    path: str = "people"
    share: Annotated[float, Range(0, 1, open_low=True)] = 1.0
    hold_out: Natural = added(0)
    one_camera: bool = added(False)
    flip: bool = True
    augment: AugmentConfig = AugmentConfig()
    workers: Workers = 0
    cache: bool = True
    identities: Positive = 2000
    views: Annotated[int, Range(2, 1000)] = 6
    scene: Scene = added("view")
    framing: Framing = added("whole")
    cloth: Cloth = added("smooth")
    heads: Heads = added("following")
    bodies: Bodies = added("cones")
    also: str = added("")
    also_share: Annotated[float, Range(0, 1, open_low=True, open_high=True)] = added(0.5)
    seed: Seed = 0

    def __post_init__(self):
        check_fields(self, "data")
        if self.also and self.also == self.path:
            raise UserError("data.also", f"is {self.also}, as data.path is", "leave it out")

    def open(self, split: str, *, skeleton: str | None = None,
             size: tuple[int, int] | None = None) -> PairSource:
        """The pictures and pairs; `skeleton`, `size` and errors are those of `open_dataset`."""
        if split == "train" and self.also:
            return joined(*(part.open(split, skeleton=skeleton, size=size) for part in self._parts),
                          self.also_share, self.seed)
        if self.path == "people" and self.share != 1:
            raise UserError("data.share", "is of no use to rendered people",
                            "give --data.identities")
        source = open_dataset(self.path, split, skeleton=skeleton, size=size, cache=self.cache,
                              **self.people)
        if split != "train":
            return source
        if self.hold_out:
            source = source.only(self._kept(source))
        source = share_of(source, self.share, self.seed)
        return by_one_camera(source) if self.one_camera else source

    def held_out(self, *, skeleton: str | None = None,
                 size: tuple[int, int] | None = None) -> PairSource:
        """The training pictures of those whom training leaves out; see `open`."""
        if self.also:
            return joined(*(part.held_out(skeleton=skeleton, size=size) for part in self._parts),
                          self.also_share, self.seed)
        source = dataclasses.replace(self, share=1.0, hold_out=0).open(
            "train", skeleton=skeleton, size=size)
        return source.only(np.setdiff1d(np.arange(len(source)), self._kept(source)))

    @property
    def _parts(self) -> tuple[DataConfig, DataConfig]:
        """What is said of each of the two sources, in the order of their pairs."""
        one = {"also": "", "also_share": 0.5}
        return tuple(
            dataclasses.replace(self, **one, path=path) if path != "people" else
            dataclasses.replace(self, **one, path=path, share=1.0, one_camera=False)
            for path in (self.path, self.also))

    def _kept(self, source: PairSource) -> np.ndarray:
        """The pictures of those who are not held out, sorted."""
        person = numbered(source.persons)
        people = int(person.max(initial=-1)) + 1
        if not 0 <= self.hold_out < max(people, 1):
            raise UserError("data.hold_out", f"is {self.hold_out} of {people} people",
                            "give 0 or more, fewer than there are people")
        left = np.random.default_rng(self.seed).permutation(people)[:self.hold_out]
        return np.flatnonzero(~np.isin(person, left))

    def batches(self, source: PairSource, batch_size: int, *, flow: bool = False) -> Batches:
        """The endless stream of training batches of pairs; see `repose_jax.data.pairs.stream`."""
        return batches(source, batch_size=batch_size, seed=self.seed, flip=self.flip,
                       augment=self.augment, workers=self.workers, flow=flow)

    def held_out_batches(self, batch_size: int, *, skeleton: str | None = None,
                         size: tuple[int, int] | None = None,
                         flow: bool = False) -> Batches | None:
        """Batches of pairs of those whom training leaves out, neither mirrored nor changed; None
        where it leaves out nobody."""
        if not self.hold_out:
            return None
        return batches(self.held_out(skeleton=skeleton, size=size), batch_size=batch_size,
                       seed=self.seed, flip=False, flow=flow)

    @property
    def name(self) -> str:
        """What model files call the data: the last part of the path, or of both."""
        return "+".join(pathlib.Path(path).name for path in (self.path, self.also) if path)

    @property
    def people(self) -> dict[str, Any]:
        """The options that `open_dataset` takes for rendered people; none for other data."""
        if self.path != "people":
            return {}
        return {"identities": self.identities, "views": self.views, "seed": self.seed,
                "world": self.world}

    @property
    def world(self) -> World:
        """How rendered people are shown."""
        return World(scene=self.scene, framing=self.framing, cloth=self.cloth, heads=self.heads,
                     bodies=self.bodies)

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
            {"share": self.share} if self.share != 1 else {}) | (
            {"hold_out": self.hold_out} if self.hold_out else {}) | (
            {"one_camera": True} if self.one_camera else {}) | (
            {"also": self.also_share} if self.also else {}) | self.world.changes()

    def refuse_augment(self, what: str) -> None:
        """Raises UserError where augmentation is on, for a training that would ignore it."""
        if self.augment.active:
            raise UserError(f"data.augment.{self.augment.active[0]}", f"has no effect on {what}",
                            "leave it out")
