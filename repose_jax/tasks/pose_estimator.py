"""A pose estimator that learns from what a diffusion model guesses at every noise level."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.common.fields import to_dict
from repose_jax.common.ranges import Fraction, check_fields
from repose_jax.common.signal import to_image, to_signal
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.source import Batch
from repose_jax.data.pairs.stream import batches
from repose_jax.models.pose_transfer import Params, RePoseModel
from repose_jax.models.weights import PretrainedModel, load_model, load_weights
from repose_jax.networks.apply import apply
from repose_jax.networks.pose_estimator import (
    EstimatorConfig, PoseEstimator, estimator_loss, fresh_estimator, soft_argmax)
from repose_jax.pose.draw import draw_skeleton
from repose_jax.pose.skeleton import SKELETONS
from repose_jax.tasks.task import Stream, Task
from repose_jax.training.config import LoopConfig
from repose_jax.training.step import Batches


@dataclasses.dataclass(frozen=True, kw_only=True)
class EstimatorExperiment:
    """A pose estimator and what it learns from.

    Attributes:
      estimator: the network.
      data: pairs; the targets' poses are what is to be read.
      denoiser: the diffusion model whose guesses are shown: a bundled name, a file or a run.
      clean: share of real pictures without noise.
      posed: of the guesses, the share that the model made knowing the target pose, as it does in
        sampling. The others were made from the noisy picture, with the source in half of the
        cases: what can be read in those is honestly in the picture. 0 for an estimator that is to
        judge: it never sees a picture whose pose the model was told.
      train: the course of training.
    """

    estimator: EstimatorConfig = EstimatorConfig()
    data: DataConfig = DataConfig()
    denoiser: str = "market1501"
    clean: Fraction = 0.25
    posed: Fraction = 0.5
    train: LoopConfig = LoopConfig(total_images=100_000, batch_size=32)

    def __post_init__(self):
        check_fields(self)
        cfg = self.estimator
        if not cfg.channels:
            raise UserError("estimator.channels", "is empty", "give the channels of 1 or more levels")
        stride = cfg.patch * 2 ** (len(cfg.channels) - 1)
        if any(side % stride for side in cfg.image_size):
            raise UserError("estimator.image_size", f"is {cfg.image_size}",
                            f"give multiples of {stride}, the coarsest cell of this network")
        if cfg.skeleton not in SKELETONS:
            raise UserError("estimator.skeleton", f"is {cfg.skeleton}",
                            f"choose one of {', '.join(SKELETONS)}")

    def task(self, init: str | os.PathLike[str] | None = None) -> EstimatorTask:
        """See `repose_jax.tasks.task.Experiment`."""
        return EstimatorTask(self, init)


class Guesses(Iterator[Mapping[str, np.ndarray]]):
    """Batches of pictures as a denoiser guesses them, with noise level and true pose.

    What is drawn follows from the seed and the position alone, so its state is that of the pairs.
    """

    def __init__(self, pairs: Batches, denoiser: PretrainedModel, experiment: EstimatorExperiment):
        self._pairs, self._params = pairs, denoiser.params
        self._seed = experiment.train.seed
        self._guess = jax.jit(functools.partial(
            guess, denoiser.model, clean=experiment.clean, posed=experiment.posed,
            start=denoiser.sample.start))

    def __next__(self) -> Mapping[str, np.ndarray]:
        position = self._pairs.get_state()["next_batch"]
        batch = next(self._pairs)
        key = jax.random.fold_in(jax.random.key(self._seed), position)
        image, noise = self._guess(self._params, batch, key)
        return {"image": image, "noise": noise, "pose": batch["target_pose"]}

    def get_state(self) -> Any:
        """The pairs' state."""
        return self._pairs.get_state()

    def set_state(self, state: Any) -> None:
        """Continues from a state that `get_state` gave."""
        self._pairs.set_state(state)


def guess(
    model: RePoseModel, params: Params, batch: Batch, key: Key[Array, ""], *, clean: float,
    posed: float, start: float = 1.0,
) -> tuple[Float[Array, "batch h w 3"], Float[Array, "batch"]]:
    """Targets as the denoiser guesses them at random noise levels; the first are left as they are.

    `start` is the share of noise with which the denoiser's sampling begins: no more is drawn.

    Returns:
      (pictures, sqrt(1 - abar) of each, 0 for a real one).
    """
    real = round(clean * batch["target"].shape[0])
    image = to_signal(batch["target"][:real])
    rest = {name: values[real:] for name, values in batch.items()}
    size = rest["target"].shape[0]
    if not size:
        return image, jnp.zeros(real)
    noise_key, *draw_keys = jax.random.split(key, 4)
    u_posed, u_source = (jax.random.uniform(k, (size,)) for k in draw_keys[:2])
    t = jax.random.randint(
        draw_keys[2], (size,), 0, model.config.schedule.up_to(start))
    with_pose = (u_posed < posed).astype(jnp.float32)
    # Without a pose the source is given in half of the cases; with it nearly always, as in use.
    with_source = (u_source < jnp.where(with_pose > 0, 0.9, 0.5)).astype(jnp.float32)
    guessed = model.denoised(params, rest, t, jax.random.split(noise_key, size), with_source,
                             with_pose)
    noise = jnp.sqrt(1 - model.config.schedule.alpha_bar(t))[:, 0, 0, 0]
    return jnp.concatenate([image, guessed]), jnp.concatenate([jnp.zeros(real), noise])


class EstimatorTask(Task):
    """Trains the estimator of an experiment."""

    kind = "estimator"

    def __init__(self, experiment: EstimatorExperiment, init: str | os.PathLike[str] | None):
        self.experiment, self.config, self.loop = experiment, experiment.estimator, experiment.train
        self.estimator = PoseEstimator(self.config)
        if init is not None:
            self.given = load_weights(init, self.kind, EstimatorConfig, fresh_estimator,
                                      like=self.config).params

    @functools.cached_property
    def denoiser(self) -> PretrainedModel:
        """The model whose guesses are shown; UserError where its pictures or poses are others."""
        name = self.experiment.denoiser
        found = load_model(name)
        theirs, ours = found.model.config.network, self.config
        if (theirs.skeleton, tuple(theirs.image_size)) != (ours.skeleton, tuple(ours.image_size)):
            raise UserError(name, f"has {theirs.skeleton} at {theirs.image_size}, the estimator "
                            f"{ours.skeleton} at {ours.image_size}", "use the same")
        return found

    def init(self, key: Key[Array, ""]) -> Params:
        return fresh_estimator(self.config)(key)

    def data(self, folder: pathlib.Path) -> Stream:
        data, denoiser = self.experiment.data, self.denoiser
        if data.augment.joints:
            raise UserError("data.augment.joints", "would teach an estimator wrong poses",
                            "leave it out")
        source = data.open("train", skeleton=self.config.skeleton, size=self.config.image_size)
        self.shown = next(Guesses(batches(source, batch_size=self.loop.batch_size, seed=1),
                                  denoiser, self.experiment))
        return Stream(Guesses(data.batches(source, self.loop.batch_size), denoiser,
                              self.experiment),
                      source.identity, [("data", text) for text in source.notes])

    def loss(self, params, frozen, batch, keys):
        heatmaps = apply(self.estimator, params, batch["image"], batch["noise"])
        each, terms = estimator_loss(heatmaps, batch["pose"], self.config.image_size)
        return each.mean(), {name: value.mean() for name, value in terms.items()}

    def draw(self, params: Params) -> Image.Image:
        return sample_picture(self.estimator, params, self.shown)

    def identity(self) -> dict[str, Any]:
        data = self.experiment.data
        return {"estimator": to_dict(self.config), "denoiser": self.denoiser.sha256,
                "clean": self.experiment.clean, "posed": self.experiment.posed,
                "flip": data.flip, "data_seed": data.seed, **data.changes()}

    def facts(self, images: int) -> dict[str, Any]:
        return {"images": images, "denoiser": pathlib.Path(self.experiment.denoiser).name,
                "denoiser_sha256": self.denoiser.sha256, "posed": self.experiment.posed,
                "data": self.experiment.data.name}


def sample_picture(
    estimator: PoseEstimator, params: Params, batch: Mapping[str, np.ndarray], count: int = 16
) -> Image.Image:
    """Guessed pictures with the true and the estimated skeleton, less noise to the left."""
    order = np.argsort(np.asarray(batch["noise"]))
    order = order[np.linspace(0, len(order) - 1, min(count, len(order))).astype(int)]
    image, noise = (np.asarray(batch[name])[order] for name in ("image", "noise"))
    heatmaps = jax.jit(estimator.apply)({"params": params}, image, noise)
    found = np.asarray(soft_argmax(heatmaps, image.shape[1:3]).pose)
    ground = np.asarray(to_image(jnp.asarray(image)))
    columns = [np.concatenate([
        draw_skeleton(ground[i], pose, estimator.skeleton, upscale=2)
        for pose in (np.asarray(batch["pose"])[order[i]], found[i])]) for i in range(len(order))]
    return Image.fromarray(np.concatenate(columns, axis=1))
