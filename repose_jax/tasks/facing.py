"""Training of what reads off a pose which way its trunk faces, on poses of rendered people."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from repose_jax.common.errors import UserError
from repose_jax.common.fields import to_dict
from repose_jax.common.ranges import Fraction, Weight, check_fields
from repose_jax.data.config import DataConfig
from repose_jax.data.people.source import RenderedPeople
from repose_jax.models.weights import load_weights
from repose_jax.networks.apply import apply
from repose_jax.networks.facing import Facing, FacingConfig, Params, fresh_facing
from repose_jax.pose.skeleton import SKELETONS, Skeleton, flip_pose
from repose_jax.tasks.drawn_batches import DrawnBatches
from repose_jax.tasks.task import Stream, Task
from repose_jax.training.config import LoopConfig

# The pictures are not looked at: small ones tell which joints of a face show.
_SIZE = (64, 32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FacingExperiment:
    """A network that reads which way a person faces, and what it learns from.

    Attributes:
      facing: the network.
      data: rendered people, who alone know.
      noise: standard deviation of what is added to the joints, as a part of the picture's height.
      hidden: share of the joints that are hidden at random.
      train: the course of training.
    """

    facing: FacingConfig = FacingConfig()
    data: DataConfig = DataConfig(path="people", identities=3000)
    noise: Weight = 0.005
    hidden: Fraction = 0.05
    train: LoopConfig = LoopConfig(total_images=2_000_000, batch_size=256)

    def __post_init__(self):
        check_fields(self)
        if self.facing.skeleton not in SKELETONS:
            raise UserError("facing.skeleton", f"is {self.facing.skeleton}",
                            f"choose one of {', '.join(SKELETONS)}")

    def task(self, init: str | os.PathLike[str] | None = None) -> FacingTask:
        """See `repose_jax.tasks.task.Experiment`."""
        return FacingTask(self, init)


class FacingBatches(DrawnBatches):
    """Batches of poses and where they face, mirrored, shaken and hidden at random."""

    def __init__(self, config: FacingExperiment, poses: Float[np.ndarray, "n joints 3"],
                 turns: Float[np.ndarray, "n"], skeleton: Skeleton):
        super().__init__(config.data.seed)
        self._config, self._poses, self._turns, self._skeleton = config, poses, turns, skeleton

    def draw(self, rng: np.random.Generator, position: int) -> Mapping[str, np.ndarray]:
        config, size = self._config, self._config.train.batch_size
        chosen = rng.integers(len(self._poses), size=size)
        poses, turns = self._poses[chosen], self._turns[chosen]
        mirrored = rng.random(size) < 0.5
        poses[mirrored] = flip_pose(poses[mirrored], self._skeleton, _SIZE[1])
        turns = np.where(mirrored, -turns, turns)
        poses[..., :2] += rng.normal(0, config.noise * _SIZE[0], (*poses.shape[:2], 2))
        poses[rng.random(poses.shape[:2]) < config.hidden] = 0
        return {"pose": poses, "facing": np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(
            np.float32)}


class FacingTask(Task):
    """Trains the network of an experiment."""

    kind = "facing"

    def __init__(self, experiment: FacingExperiment, init: str | os.PathLike[str] | None):
        self.experiment, self.config, self.loop = experiment, experiment.facing, experiment.train
        if init is not None:
            self.given = load_weights(init, self.kind, FacingConfig, fresh_facing,
                                      like=self.config).params

    def init(self, key: Key[Array, ""]) -> Params:
        return fresh_facing(self.config)(key)

    def data(self, folder: pathlib.Path) -> Stream:
        config, skeleton = self.experiment, SKELETONS[self.config.skeleton]
        config.data.refuse_augment("what faces where, which is learnt from poses")
        source = config.data.open("train", skeleton=skeleton.name, size=_SIZE)
        if not isinstance(source, RenderedPeople):
            raise UserError("data.path", "does not know where its people face",
                            "learn from rendered people: --data.path people")
        turns = np.array([source.turn(i) for i in range(len(source))], np.float32)
        decides = hashlib.sha256(source.poses.tobytes() + turns.tobytes()).hexdigest()
        return Stream(FacingBatches(config, source.poses, turns, skeleton), {"poses": decides},
                      [("data", f"{len(source)} poses and their mirror images")])

    def loss(self, params, frozen, batch, keys):
        answer = apply(Facing(self.config.hidden), params, batch["pose"])
        return jnp.sum(jnp.abs(answer - batch["facing"]), axis=-1).mean(), {}

    def identity(self) -> dict[str, Any]:
        config = self.experiment
        return {"facing": to_dict(self.config), "noise": config.noise, "hidden": config.hidden,
                "seed": config.data.seed}

    def facts(self, images: int) -> dict[str, Any]:
        return {"poses_seen": images, "data": self.experiment.data.name}
