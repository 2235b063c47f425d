"""Training of what is done once a picture: source encoder, alignment and painter.

The denoiser is not trained here; its parameters go into the model file as they came, so that the
file can be sampled with 0 steps (the painted picture) and be the start of the denoiser's training.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.common.fields import identity, to_dict
from repose_jax.common.ranges import check_fields
from repose_jax.common.signal import to_signal
from repose_jax.common.torch_file import read_state_dict
from repose_jax.data.config import DataConfig
from repose_jax.models.model_config import ModelConfig, check_model, check_place
from repose_jax.models.painting_loss import (
    PaintingObjective, adversarial_terms, alignment_terms, correspondence_term, picture_terms,
    pixel_weights, repaint_term, with_head)
from repose_jax.models.perceptual_loss import close_up_term, close_ups, perceptual_terms
from repose_jax.models.pose_transfer import Batch, Params, RePoseModel
from repose_jax.models.projected_loss import fresh_critic, realism_terms
from repose_jax.models.sample_config import SampleConfig
from repose_jax.networks import efficientnet_lite
from repose_jax.networks.discriminator import Discriminator
from repose_jax.networks.place import in_place_of
from repose_jax.pose.head import head_map, head_of
from repose_jax.pose.maps import map_count, person_map, pose_maps
from repose_jax.pose.skeleton import Skeleton
from repose_jax.tasks.pose_transfer import (
    PARTS, initial, open_pairs, pair_shapes, sample_picture, with_facing)
from repose_jax.tasks.task import Stream, Task
from repose_jax.training.config import LoopConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class PainterExperiment:
    """What `repose train` needs to know of a painter.

    Attributes:
      model: a model with a painter.
      data: what it learns from.
      objective: weights of its losses.
      sample: the settings of the sampler, kept in the model file: 0 steps, the painted picture.
      train: how long, how often.
      facing: what tells where a person faces, where the flow starts turned: bundled name, file or run;
        not looked at where `--init` brings it along, and refused where the flow does not start turned.
    """

    model: ModelConfig
    data: DataConfig = DataConfig()
    objective: PaintingObjective = PaintingObjective()
    sample: SampleConfig = SampleConfig(steps=0, source_weight=1.0)
    train: LoopConfig = LoopConfig(total_images=100_000, batch_size=8)
    facing: str = ""

    def __post_init__(self):
        check_fields(self)
        check_model(self.model)
        if not self.model.network.painter.channels:
            raise UserError("model.network.painter.channels", "is empty",
                            "give as many numbers as the U-Net has levels")
        check_place(self.objective.keep_place, self.model)
        if self.facing and self.model.network.rpa.initial != "turned":
            raise UserError("facing", "is of no use to a flow that does not start turned",
                            "give --model.network.rpa.initial turned, or leave it out")
        size = self.model.network.image_size
        whole = self.objective.perceptual or self.objective.style  # heads are all seen at one size
        if whole and any(side % efficientnet_lite.CELL for side in size):
            raise UserError("model.network.image_size", f"is {size[0]}x{size[1]}",
                            f"give multiples of {efficientnet_lite.CELL}, which the perceptual loss "
                            "needs, or set objective.perceptual and .style to 0")

    def task(self, init: str | os.PathLike[str] | None = None) -> PainterTask:
        """See `repose_jax.tasks.task.Experiment`."""
        return PainterTask(self, init)


def _fresh_discriminator(config: ModelConfig, key: Key[Array, ""]) -> Params:
    height, width = config.network.image_size
    picture = jnp.zeros((1, height, width, 3))
    maps = jnp.zeros((1, height // 2, width // 2, map_count(RePoseModel(config).network.skeleton)))
    return Discriminator().init(jax.random.fold_in(key, 1), picture, picture, maps)["params"]


def loss(
    model: RePoseModel, objective: PaintingObjective, params: Params, perception: Params | None,
    batch: Batch, keys: Key[Array, "batch"],
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The losses of painter, alignment and discriminator (docs/method.md, 24 to 26, 29 and 30).

    Args:
      model: with a painter.
      objective: the weights.
      params: of `PARTS` as far as the model has them, and "discriminator" and "critic" where the
        objective asks for them.
      perception: parameters of EfficientNet-Lite0 where the objective asks for it.
      batch: as for `RePoseModel.loss`, with "flow" and "seen" where the true flow is asked for.
      keys: by which pictures are moved before EfficientNet-Lite0 sees them.

    Returns:
      (their sum, each of them).
    """
    source, target = to_signal(batch["source"]), to_signal(batch["target"])
    skeleton, image_size = model.network.skeleton, (target.shape[1], target.shape[2])
    painting, alignment = model.paint(params, source, batch["source_pose"], batch["target_pose"])
    person, before = (person_map(batch[f"{name}_pose"], skeleton, image_size)
                      for name in ("target", "source"))
    head = head_map(batch["target_pose"], skeleton, image_size) if (
        objective.head or objective.spare_hidden or objective.realism) else jnp.zeros_like(person)
    counted = with_head(person, head, objective) if objective.head else person
    weight = pixel_weights(counted, before, objective)
    answer, seen = answer_in_place(
        batch, source, target, person, skeleton) if objective.keep_place else (
        target, 1 - person)
    terms = picture_terms(painting.picture, answer, weight, objective)
    if objective.repaint:
        priced = weight
        if objective.spare_hidden:
            priced = pixel_weights(person, before, objective) * shown_by(batch, head)
        terms["repaint"] = repaint_term(painting, priced, objective)
    if objective.perceptual or objective.style:
        terms |= perceptual_terms(perception, painting.picture, answer, weight, person, seen,
                                  keys, objective.perceptual, objective.style,
                                  objective.perceived)
    if objective.looks_at_heads:
        looked_at = painting.picture
        if objective.realism:  # shoulders are seen beside the head, and are not to be moved by that
            looked_at = head * looked_at + (1 - head) * jax.lax.stop_gradient(looked_at)
        heads = close_ups(perception, looked_at, answer, head_of(batch["target_pose"], skeleton))
        if objective.close_up:
            terms["close_up"] = objective.close_up * close_up_term(heads)
        if objective.realism:
            terms |= realism_terms(params["critic"], heads, objective.realism)
    terms |= alignment_terms(alignment, source, target, counted, objective)
    if objective.correspondence:
        seen = batch["seen"] * (1 + objective.head * head[..., 0])
        terms["correspondence"] = correspondence_term(alignment, batch["flow"], seen, objective)
    if objective.judged:
        half = image_size[0] // 2, image_size[1] // 2
        maps = pose_maps(batch["target_pose"], skeleton, half, image_size)
        terms |= adversarial_terms(params["discriminator"], painting.picture, target, alignment,
                                   maps, objective)
    return jnp.asarray(sum(terms.values())), terms


def answer_in_place(
    batch: Batch, source: Float[Array, "batch height width 3"],
    target: Float[Array, "batch height width 3"], person: Float[Array, "batch height width 1"],
    skeleton: Skeleton,
) -> tuple[Float[Array, "batch height width 3"], Float[Array, "batch height width 1"]]:
    """What is asked for where the source's place is to be kept.

    Pairs whose true flow is known were taken in one place: of them the target itself.

    Returns:
      (the pictures, how far each pixel shows the place).
    """
    placed, shows = in_place_of(source, target, batch["source_pose"], batch["target_pose"], skeleton)
    if "seen" not in batch:
        return placed, shows
    one = batch["seen"].any(axis=(1, 2))[:, None, None, None]
    return jnp.where(one, target, placed), jnp.where(one, 1 - person, shows)


def shown_by(batch: Batch, head: Float[Array, "batch height width 1"]) -> Float[
        Array, "batch height width 1"]:
    """How far the source shows what is at each pixel, as the true flow tells; nothing of heads."""
    if "seen" not in batch:
        return 1 - head
    hidden = (batch["flow"] != 0).any(axis=-1) & ~batch["seen"]
    return (1 - head) * ~hidden[..., None]


class PainterTask(Task):
    """Trains encoder, alignment and painter of a model, the discriminator beside them.

    The file gets the whole model: the rest as it came, the discriminator left out.
    """

    kind = "model"

    def __init__(self, experiment: PainterExperiment, init: str | os.PathLike[str] | None):
        self.experiment, self.config, self.loop = experiment, experiment.model, experiment.train
        self.model, self._init = RePoseModel(self.config), init

    def frozen_shapes(self) -> Params | None:
        return efficientnet_lite.shapes() if self.experiment.objective.perceives else None

    @functools.cached_property
    def _whole(self) -> Params:
        """The whole model that the parts are taken from and come back to."""
        key, facing = jax.random.key(self.loop.seed), self.experiment.facing
        if self._init is not None:
            return initial(self._init, self.config, jax.eval_shape(self.model.init, key), facing)
        fresh = jax.jit(self.model.init)(key)
        if self.config.network.rpa.initial == "turned":
            return with_facing(fresh, self.config, facing)
        return fresh

    def init(self, key: Key[Array, ""]) -> Params:
        return self._trained(self.model.init(key), key)

    def _trained(self, whole: Params, key: Key[Array, ""]) -> Params:
        """What is trained of a whole model, and fresh discriminators where they are needed."""
        # Without iterations the alignment has nothing to learn.
        made = {name: whole[name] for name in PARTS if name in whole}
        if self.experiment.objective.judged:
            made["discriminator"] = _fresh_discriminator(self.config, key)
        if self.experiment.objective.realism:
            made["critic"] = fresh_critic(jax.random.fold_in(key, 2))
        return made

    def data(self, folder: pathlib.Path) -> Stream:
        if self.experiment.objective.perceives:
            file = efficientnet_lite.published_file()
            self.frozen = efficientnet_lite.params_from_torch(read_state_dict(file), str(file))
        self.source, stream = open_pairs(
            self.experiment.data, self.config.network, self.loop.batch_size,
            flow=bool(self.experiment.objective.correspondence))
        self.given = self._trained(self._whole, jax.random.key(self.loop.seed))
        return stream

    def batch_shapes(self) -> dict[str, jax.ShapeDtypeStruct]:
        shapes = pair_shapes(self.config.network, self.loop.batch_size)
        if self.experiment.objective.correspondence:
            pixels = self.loop.batch_size, *self.config.network.image_size
            shapes |= {"flow": jax.ShapeDtypeStruct((*pixels, 2), np.float32),
                       "seen": jax.ShapeDtypeStruct(pixels, np.bool_)}
        return shapes

    def loss(self, params, frozen, batch, keys):
        return loss(self.model, self.experiment.objective, params, frozen, batch, keys)

    def draw(self, params: Params) -> Image.Image:
        return sample_picture(self.model, self.finish(params), self.source,
                              self.experiment.sample, count=16)

    def identity(self) -> dict[str, Any]:
        return {"model": identity(self.config), "data": self.experiment.data.identity(),
                "objective": identity(self.experiment.objective)}

    def finish(self, params: Params) -> Params:
        trained = {name: params[name] for name in PARTS if name in params}
        return jax.device_get({**self._whole, **trained})

    def facts(self, images: int) -> dict[str, Any]:
        return {"images": images, "init": self._init and pathlib.Path(self._init).name,
                "data": self.experiment.data.name}

    def more(self) -> dict[str, Any]:
        return {"sample": to_dict(self.experiment.sample)}
