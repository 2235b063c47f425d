"""A pose interaction field that learns from real poses and on poses that are wrong."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from repose_jax.common.arrays import read_arrays
from repose_jax.common.errors import UserError
from repose_jax.common.fields import to_dict
from repose_jax.common.files import write_whole
from repose_jax.common.ranges import Fraction, Range, Weight, check_fields
from repose_jax.data.config import DataConfig
from repose_jax.models.weights import load_weights
from repose_jax.networks.apply import apply
from repose_jax.networks.pif import FieldConfig, Params, PoseField, fresh_field
from repose_jax.pose.bones import bones_of, valid_poses
from repose_jax.pose.corruptions import CORRUPTIONS, von_mises
from repose_jax.pose.neighbours import MIN_SHARED, NEIGHBOURS, nearest_poses
from repose_jax.pose.skeleton import SKELETONS, Skeleton
from repose_jax.tasks.drawn_batches import DrawnBatches
from repose_jax.tasks.task import Stream, Task
from repose_jax.training.config import LoopConfig

# Slighter noise than POST's, without which nothing lies between the valid poses and a label of .3.
_SLIGHT = (16.0, 64.0)
_ALIKE = ("scaled",)  # the field cannot see these


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldExperiment:
    """A field and what it learns from.

    Attributes:
      field: the network.
      data: whose training poses are the valid ones.
      guesses: .npz with "poses" [N, joints, 3] in pixels: poses that an estimator read off a
        diffusion model's guesses at training pictures; "" for none.
      negatives: wrong poses of each kind (of the guesses, at most this many times 4).
      far, near: labels from which a pose is far from the valid ones, or still near them.
      stages: parts of the training that show only far poses, then also near ones; in the rest
        valid poses come in (POST).
      offset_weight: of the second head's loss.
      hidden: share of the poses, valid and wrong, of which joints are hidden.
      train: the course of training.
    """

    field: FieldConfig = FieldConfig()
    data: DataConfig = DataConfig()
    guesses: str = ""
    negatives: Annotated[int, Range(1, 10_000_000)] = 6_000
    far: Annotated[float, Range(0, open_low=True)] = 0.5
    near: Annotated[float, Range(0, open_low=True)] = 0.3
    stages: tuple[Fraction, Fraction] = (0.15, 0.35)
    offset_weight: Weight = 0.5
    hidden: Fraction = 0.4
    train: LoopConfig = LoopConfig(total_images=4_000_000, batch_size=1024)

    def __post_init__(self):
        check_fields(self)
        if self.field.skeleton not in SKELETONS:
            raise UserError("field.skeleton", f"is {self.field.skeleton}",
                            f"choose one of {', '.join(SKELETONS)}")
        if self.stages[0] > self.stages[1]:
            raise UserError("stages", f"are {self.stages}", "give two parts of 1, the lower first")
        if self.near > self.far:
            raise UserError("near", f"is {self.near}, far {self.far}", "give 0 < near <= far")

    def task(self, init: str | os.PathLike[str] | None = None) -> FieldTask:
        """See `repose_jax.tasks.task.Experiment`."""
        return FieldTask(self, init)


@dataclasses.dataclass(frozen=True, eq=False)
class Poses:
    """Bones of poses with their labels.

    Attributes:
      unit: [N, bones, 2].
      visible: [N, bones].
      distance: [N], 0 for valid poses.
      offset: [N, bones, 2], to the nearest valid pose, on the bones that both show.
    """

    unit: np.ndarray
    visible: np.ndarray
    distance: np.ndarray
    offset: np.ndarray


def hide_joints(
    poses: Float[np.ndarray, "n joints 3"], share: float, rng: np.random.Generator
) -> Float[np.ndarray, "n joints 3"]:
    """Hides a fifth of the joints in a share of the poses, so that both kinds are known."""
    some = rng.random(len(poses)) < share
    hidden = (rng.random(poses.shape[:2]) < 0.2) & some[:, None]
    return np.where(hidden[..., None], 0, poses).astype(np.float32)


def wrong_poses(
    config: FieldExperiment, valid: Float[np.ndarray, "n joints 3"], skeleton: Skeleton,
    guesses: Float[np.ndarray, "m joints 3"] | None,
) -> Poses:
    """Wrong poses of every kind, labelled by their neighbours among the valid ones."""
    rng = np.random.default_rng(config.data.seed)
    kinds = {name: f for name, f in CORRUPTIONS.items() if name not in _ALIKE}
    kinds |= {f"von Mises {k:g}": functools.partial(von_mises, kappa=k) for k in _SLIGHT}
    parts = [corrupt(valid[rng.integers(len(valid), size=config.negatives)], skeleton, rng)
             for corrupt in kinds.values()]
    if guesses is not None:
        parts.append(rng.permutation(guesses)[:4 * config.negatives])
    poses = hide_joints(np.concatenate(parts), config.hidden, rng)
    unit, visible = bones_of(poses, skeleton)
    reference = bones_of(valid, skeleton)
    found = nearest_poses(unit, visible, *reference)
    nearest_unit, nearest_visible = (array[found.nearest] for array in reference)
    offset = (nearest_unit - unit) * (visible * nearest_visible)[..., None]
    known = np.isfinite(found.distance)
    return Poses(unit[known], visible[known], found.distance[known], offset[known])


def _cached(path: pathlib.Path, make: Callable[[], Poses]) -> Poses:
    if path.exists():
        names = [field.name for field in dataclasses.fields(Poses)]
        arrays = read_arrays(path, "delete it, it is made again", names)
        return Poses(**{name: arrays[name] for name in names})
    made = make()
    write_whole(path, lambda file: np.savez_compressed(file, **vars(made)))
    return made


class FieldBatches(DrawnBatches):
    """Batches of valid and wrong poses."""

    def __init__(self, config: FieldExperiment, valid: np.ndarray, wrong: Poses,
                 skeleton: Skeleton):
        super().__init__(config.data.seed)
        self._config, self._valid, self._wrong, self._skeleton = config, valid, wrong, skeleton
        far, near = wrong.distance >= config.far, wrong.distance >= config.near
        self._stages = [np.flatnonzero(far), np.flatnonzero(near), np.arange(len(far))]

    def draw(self, rng: np.random.Generator, position: int) -> Mapping[str, np.ndarray]:
        config, size = self._config, self._config.train.batch_size
        part = position * size / config.train.total_images
        stage = int(part >= config.stages[0]) + int(part >= config.stages[1])
        valid = size // 3 if stage == 2 else 0
        wrong = rng.choice(self._stages[stage], size - valid)
        batch = {name: getattr(self._wrong, name)[wrong] for name in
                 ("unit", "visible", "distance", "offset")}
        if valid:
            poses = hide_joints(self._valid[rng.integers(len(self._valid), size=valid)],
                                config.hidden, rng)
            unit, visible = bones_of(poses, self._skeleton)
            more = {"unit": unit, "visible": visible, "distance": np.zeros(valid),
                    "offset": np.zeros_like(unit)}
            batch = {name: np.concatenate([batch[name], more[name]]) for name in batch}
        # An estimator's confidences are no zeros and ones.
        soft = np.where(rng.random((size, 1)) < 0.5, rng.uniform(0.3, 1, batch["visible"].shape), 1)
        batch["visible"] = batch["visible"] * soft
        return {name: np.asarray(value, np.float32) for name, value in batch.items()}


def field_loss(
    field: PoseField, config: FieldExperiment, params: Params, batch: Mapping[str, Array],
    keys: Key[Array, "batch"],
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Absolute error of the distance, and of the offset's length on visible bones."""
    out = apply(field, params, batch["unit"], batch["visible"])
    distance = jnp.abs(out.distance - batch["distance"]).mean()
    # The head's output fades with the visibility, so what it is asked for does too.
    wanted = batch["offset"] * batch["visible"][..., None]
    away = jnp.sqrt(jnp.sum((out.offset - wanted) ** 2, axis=-1) + 1e-6)
    shown = (batch["visible"] > 0).astype(jnp.float32)
    offset = jnp.sum(away * shown) / jnp.maximum(shown.sum(), 1.0)
    parts = {"distance": distance, "offset": offset}
    return distance + config.offset_weight * offset, parts


class FieldTask(Task):
    """Trains the field of an experiment; the labelled poses are made once and kept in the folder."""

    kind = "field"

    def __init__(self, experiment: FieldExperiment, init: str | os.PathLike[str] | None):
        self.experiment, self.config, self.loop = experiment, experiment.field, experiment.train
        if init is not None:
            self.given = load_weights(init, self.kind, FieldConfig, fresh_field,
                                      like=self.config).params

    def init(self, key: Key[Array, ""]) -> Params:
        return fresh_field(self.config)(key)

    def data(self, folder: pathlib.Path) -> Stream:
        config, skeleton = self.experiment, SKELETONS[self.config.skeleton]
        config.data.refuse_augment("a field, which learns from poses")
        source = config.data.open("train", skeleton=skeleton.name)
        valid = valid_poses(source.poses, skeleton)
        guesses = read_guesses(config.guesses, skeleton)
        decides = hashlib.sha256(repr((
            NEIGHBOURS, MIN_SHARED, config.negatives, config.hidden, config.data.seed,
            skeleton)).encode() + valid.tobytes() + (b"" if guesses is None else guesses.tobytes()))
        wrong = _cached(folder / f"wrong-poses-{decides.hexdigest()[:16]}.npz",
                        lambda: wrong_poses(config, valid, skeleton, guesses))
        for name, bound in (("far", config.far), ("near", config.near)):
            if not (wrong.distance >= bound).any():
                raise UserError(name, f"is {bound}, and no wrong pose has such a label",
                                f"give less than {wrong.distance.max():.3f}")
        self._poses = decides.hexdigest()
        self._counts = {"valid": len(source), "wrong": len(wrong.distance),
                        "guesses": 0 if guesses is None else len(guesses)}
        counts = (f"{len(valid)} valid with mirror images, {len(wrong.distance)} wrong, "
                  f"{(wrong.distance >= config.far).mean():.2f} of them far, "
                  f"{(wrong.distance < config.near).mean():.2f} nearer than {config.near}")
        return Stream(FieldBatches(config, valid, wrong, skeleton), {"poses": self._poses},
                      [*(("data", text) for text in source.notes), ("poses", counts)])

    def loss(self, params, frozen, batch, keys):
        return field_loss(PoseField(self.config), self.experiment, params, batch, keys)

    def identity(self) -> dict[str, Any]:
        config = self.experiment
        return {"field": to_dict(self.config), "poses": self._poses, "stages": list(config.stages),
                "bounds": [config.near, config.far], "offset_weight": config.offset_weight,
                "total": self.loop.total_images}

    def facts(self, images: int) -> dict[str, Any]:
        return {"poses_seen": images, **self._counts, "data": self.experiment.data.name}


def read_guesses(path: str, skeleton: Skeleton) -> np.ndarray | None:
    if not path:
        return None
    poses = read_arrays(path, 'give an .npz file with an array "poses"', ("poses",))["poses"]
    if poses.dtype.kind not in "fiu":
        raise UserError(path, "has poses that are no numbers", f"give [N, {len(skeleton)}, 3]")
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused as infinite
        poses = np.asarray(poses, np.float32)
    if poses.ndim != 3 or poses.shape[1:] != (len(skeleton), 3) or not np.isfinite(poses).all():
        raise UserError(path, f"has poses of the shape {poses.shape} or not finite",
                        f"give [N, {len(skeleton)}, 3]")
    return poses
