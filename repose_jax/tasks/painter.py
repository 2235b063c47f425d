"""Training of what is done once a picture: source encoder, alignment and painter.

The denoiser is not trained here; its parameters go into the model file as they came, so that the
file can be sampled with 0 steps (the painted picture) and be the start of the denoiser's training.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from repose_jax.common.errors import UserError
from repose_jax.common.fields import identity
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.stream import batches
from repose_jax.models.painting_loss import (
    PaintingObjective, adversarial_terms, alignment_terms, picture_terms)
from repose_jax.models.pose_transfer import Batch, ModelConfig, Params, RePoseModel, check_model
from repose_jax.common.signal import to_signal
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.weights import FILE_NAME, save_model
from repose_jax.networks.discriminator import Discriminator
from repose_jax.pose.maps import map_count, person_map, pose_maps
from repose_jax.tasks.pose_transfer import ExperimentConfig, initial, sample_picture
from repose_jax.training.config import LoopConfig
from repose_jax.training.loop import train

PARTS = ("encoder", "alignment", "painter")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PainterExperiment:
    """What `repose train` needs to know of a painter.

    Attributes:
      model: a model with a painter.
      data: what it learns from.
      objective: weights of its losses.
      sample: the settings of the sampler, kept in the model file: 0 steps, the painted picture.
      train: how long, how often.
    """

    model: ModelConfig
    data: DataConfig = DataConfig()
    objective: PaintingObjective = PaintingObjective()
    sample: SampleConfig = SampleConfig(steps=0, source_weight=1.0)
    train: LoopConfig = LoopConfig(total_images=100_000, batch_size=8)

    def __post_init__(self):
        check_model(self.model)
        if not self.model.network.painter.channels:
            raise UserError("model.network.painter.channels", "is empty",
                            "give as many numbers as the U-Net has levels")


def fresh(config: PainterExperiment) -> Callable[[Key[Array, ""]], Params]:
    """Makes the parameters that are trained: the parts, and a discriminator where one is needed."""
    model = RePoseModel(config.model)

    def init(key: Key[Array, ""]) -> Params:
        params = model.init(key)
        made = {name: params[name] for name in PARTS}
        if config.objective.judged:
            made["discriminator"] = _fresh_discriminator(config.model, key)
        return made

    return init


def _fresh_discriminator(config: ModelConfig, key: Key[Array, ""]) -> Params:
    height, width = config.network.image_size
    picture = jnp.zeros((1, height, width, 3))
    maps = jnp.zeros((1, height // 2, width // 2, map_count(RePoseModel(config).network.skeleton)))
    return Discriminator().init(jax.random.fold_in(key, 1), picture, picture, maps)["params"]


def loss(
    model: RePoseModel, objective: PaintingObjective, params: Params, batch: Batch,
    keys: Key[Array, "batch"],
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The losses of painter, alignment and discriminator (docs/method.md, 24 to 26).

    Args:
      model: with a painter.
      objective: the weights.
      params: of `PARTS`, and "discriminator" where the objective asks for it.
      batch: as for `RePoseModel.loss`.
      keys: not used; there is nothing random in it.

    Returns:
      (their sum, each of them).
    """
    source, target = to_signal(batch["source"]), to_signal(batch["target"])
    skeleton, image_size = model.network.skeleton, target.shape[1:3]
    painting, alignment = model.paint(params, source, batch["source_pose"], batch["target_pose"])
    person = person_map(batch["target_pose"], skeleton, image_size)
    terms = picture_terms(painting.picture, target, person, objective)
    terms |= alignment_terms(alignment, source, target, person, objective)
    if objective.judged:
        half = tuple(side // 2 for side in image_size)
        maps = pose_maps(batch["target_pose"], skeleton, half, image_size)
        terms |= adversarial_terms(params["discriminator"], painting.picture, target, alignment,
                                   maps, objective)
    return sum(terms.values()), terms


def run(
    config: PainterExperiment,
    folder: str | os.PathLike[str],
    *,
    init: str | os.PathLike[str] | None = None,
    samples: int = 16,
    progress: bool = True,
    on_event: Callable[[str, dict], None] | None = None,
) -> pathlib.Path:
    """Trains into a folder, resuming what is there, and writes a model file.

    Args:
      config: the experiment.
      folder: gets checkpoints, log, loss curve and sample pictures.
      init: a model whose weights are the start; None starts afresh.
      samples: pairs in each sample picture.
      progress: show a progress bar.
      on_event: see `repose_jax.training.loop.train`; also told each "note" on the data.

    Returns:
      The model file, to be sampled with 0 steps: the averaged parameters of the last step.

    Raises:
      UserError: data, model file or folder cannot be used.
    """
    folder, model = pathlib.Path(folder), RePoseModel(config.model)
    network, key = config.model.network, jax.random.key(config.train.seed)
    source = config.data.open("train", skeleton=network.skeleton, size=network.image_size)
    whole = jax.jit(model.init)(key)
    if init is not None:
        whole = initial(init, config.model, jax.eval_shape(lambda: whole))
    for text in source.notes:
        if on_event is not None:
            on_event("note", {"data": text})
    params = {name: whole[name] for name in PARTS}
    if config.objective.judged:
        params["discriminator"] = _fresh_discriminator(config.model, key)
    stream = batches(source, batch_size=config.train.batch_size, seed=config.data.seed,
                     flip=config.data.flip, augment=config.data.augment,
                     workers=config.data.workers)
    shown = np.random.default_rng(0).integers(0, len(source.pairs), samples)
    view = ExperimentConfig(model=config.model, data=config.data, sample=config.sample)

    def finished(ema: Params) -> Params:
        return {**whole, **{name: ema[name] for name in PARTS}}

    trained = train(
        config.train, params=params, batches=stream, folder=folder,
        loss_fn=functools.partial(loss, model, config.objective),
        metadata={"model": identity(config.model), "data": config.data.identity(),
                  "objective": identity(config.objective)},
        sample_fn=lambda ema, images: sample_picture(view, finished(ema), source, shown),
        on_event=on_event, progress=progress)
    path = folder / FILE_NAME
    save_model(path, config.model, jax.device_get(finished(trained.state.ema)), {
        "images": trained.images, "init": None if init is None else pathlib.Path(init).name,
        "data": pathlib.Path(config.data.path).name}, config.sample)
    return path
