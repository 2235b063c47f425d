"""Trains a pose estimator on what a diffusion model guesses at every noise level."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.common.fields import to_dict
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.source import Batch
from repose_jax.data.pairs.stream import batches
from repose_jax.models.pose_transfer import Params, RePoseModel
from repose_jax.common.signal import to_image, to_signal
from repose_jax.models.weights import FILE_NAME, LoadedModel, load_model, load_weights, save_weights
from repose_jax.networks.pose_estimator import (
    EstimatorConfig, PoseEstimator, estimator_loss, fresh_estimator, soft_argmax)
from repose_jax.pose.draw import draw_skeleton
from repose_jax.pose.skeleton import SKELETONS
from repose_jax.training.loop import Batches, train
from repose_jax.training.config import LoopConfig


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
    clean: float = 0.25
    posed: float = 0.5
    train: LoopConfig = LoopConfig(total_images=100_000, batch_size=32)

    def __post_init__(self):
        cfg = self.estimator
        stride = cfg.patch * 2 ** (len(cfg.channels) - 1)
        if not cfg.channels or min(cfg.channels) < 1 or min(cfg.blocks, cfg.patch, cfg.groups) < 1:
            raise UserError("estimator", "has no channels, blocks, patch or groups",
                            "give 1 or more of each")
        if any(side % stride for side in cfg.image_size):
            raise UserError("estimator.image_size", f"is {cfg.image_size}",
                            f"give multiples of {stride}, the coarsest cell of this network")
        if cfg.skeleton not in SKELETONS:
            raise UserError("estimator.skeleton", f"is {cfg.skeleton}",
                            f"choose one of {', '.join(SKELETONS)}")
        for name in ("clean", "posed"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(name, f"is {getattr(self, name)}", "give a share from 0 to 1")


class Guesses(Iterator[Mapping[str, np.ndarray]]):
    """Batches of pictures as a denoiser guesses them, with noise level and true pose.

    What is drawn follows from the seed and the position alone, so its state is that of the pairs.
    """

    def __init__(self, pairs: Batches, denoiser: LoadedModel, experiment: EstimatorExperiment):
        self._pairs, self._params = pairs, denoiser.params
        self._seed = experiment.train.seed
        self._guess = jax.jit(functools.partial(
            guess, denoiser.model, clean=experiment.clean, posed=experiment.posed))

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
    posed: float,
) -> tuple[Float[Array, "batch h w 3"], Float[Array, "batch"]]:
    """Targets as the denoiser guesses them at random noise levels; the first are left as they are.

    Returns:
      (pictures, sqrt(1 - abar) of each, 0 for a real one).
    """
    real = round(clean * batch["target"].shape[0])
    image = to_signal(batch["target"][:real])
    rest = {name: values[real:] for name, values in batch.items()}
    size = rest["target"].shape[0]
    noise_key, *draw_keys = jax.random.split(key, 4)
    u_posed, u_source = (jax.random.uniform(k, (size,)) for k in draw_keys[:2])
    t = jax.random.randint(draw_keys[2], (size,), 0, model.config.schedule.steps)
    with_pose = (u_posed < posed).astype(jnp.float32)
    # Without a pose the source is given in half of the cases; with it nearly always, as in use.
    with_source = (u_source < jnp.where(with_pose > 0, 0.9, 0.5)).astype(jnp.float32)
    guessed = model.denoised(params, rest, t, jax.random.split(noise_key, size), with_source,
                             with_pose)
    noise = jnp.sqrt(1 - model.config.schedule.alpha_bar(t))[:, 0, 0, 0]
    return jnp.concatenate([image, guessed]), jnp.concatenate([jnp.zeros(real), noise])


def run(
    config: EstimatorExperiment,
    folder: str | os.PathLike[str],
    *,
    init: str | os.PathLike[str] | None = None,
    progress: bool = True,
    on_event: Callable[[str, dict], None] | None = None,
) -> pathlib.Path:
    """Trains an estimator into a folder, resuming what is there, and writes its file.

    Args:
      config: the experiment.
      folder: gets checkpoints, log, loss curve and sample pictures.
      init: an estimator whose weights are the start; None starts afresh.
      progress: show a progress bar.
      on_event: see `repose_jax.training.loop.train`; also told each "note" on the data.

    Returns:
      The file: the averaged parameters of the last step, complete or interrupted.

    Raises:
      UserError: data, denoiser, file or folder cannot be used.
    """
    folder, tell = pathlib.Path(folder), on_event or (lambda name, facts: None)
    estimator = PoseEstimator(config.estimator)
    denoiser = load_model(config.denoiser)
    theirs, ours = denoiser.model.config.network, config.estimator
    if (theirs.skeleton, tuple(theirs.image_size)) != (ours.skeleton, tuple(ours.image_size)):
        raise UserError(config.denoiser, f"has {theirs.skeleton} at {theirs.image_size}, the "
                        f"estimator {ours.skeleton} at {ours.image_size}", "use the same")
    source = config.data.open(
        "train", skeleton=config.estimator.skeleton, size=config.estimator.image_size)
    for text in source.notes:
        tell("note", {"data": text})
    pairs = batches(source, batch_size=config.train.batch_size, seed=config.data.seed,
                    flip=config.data.flip, augment=config.data.augment,
                    workers=config.data.workers)

    params: Params | Callable[[], Params] = functools.partial(
        jax.jit(fresh_estimator(config.estimator)), jax.random.key(config.train.seed))
    if init is not None:
        params = load_weights(init, "estimator", EstimatorConfig, fresh_estimator,
                              like=config.estimator).params

    def loss(params: Params, batch: Mapping[str, Array], keys: Key[Array, "batch"]):
        heatmaps = estimator.apply({"params": params}, batch["image"], batch["noise"])
        each, parts = estimator_loss(heatmaps, batch["pose"], config.estimator.image_size)
        return each.mean(), {name: value.mean() for name, value in parts.items()}

    shown = next(Guesses(batches(source, batch_size=config.train.batch_size, seed=1),
                         denoiser, config))

    def draw(ema: Params, seen: int) -> Image.Image:
        return sample_picture(estimator, ema, shown)

    trained = train(
        config.train, params=params, loss_fn=loss, batches=Guesses(pairs, denoiser, config),
        folder=folder, metadata={
            "estimator": to_dict(config.estimator), "denoiser": denoiser.sha256,
            "clean": config.clean, "posed": config.posed, "flip": config.data.flip,
            "data_seed": config.data.seed, **config.data.changes(), "content": source.identity},
        sample_fn=draw, on_event=on_event, progress=progress)
    path = folder / FILE_NAME
    save_weights(path, "estimator", config.estimator, jax.device_get(trained.state.ema), {
        "images": trained.images, "denoiser": pathlib.Path(config.denoiser).name,
        "denoiser_sha256": denoiser.sha256, "posed": config.posed,
        "data": pathlib.Path(config.data.path).name})
    return path


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
