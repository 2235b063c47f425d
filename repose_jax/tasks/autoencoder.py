"""Training of a first stage: pictures to smooth latents and back (docs/method.md, equation 31).

Both pictures of each pair are learnt; poses have no part in it. The numbers that standardise the
latents are measured when training ends, over pictures of the training people.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.common.fields import identity
from repose_jax.common.ranges import Side, Weight, check_fields
from repose_jax.common.signal import to_image, to_signal
from repose_jax.common.torch_file import read_state_dict
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.source import PairSource
from repose_jax.evaluation.metrics.psnr import psnr
from repose_jax.models.painting_loss import differences
from repose_jax.models.perceptual_loss import perceptual_terms
from repose_jax.models.weights import load_autoencoder
from repose_jax.networks import efficientnet_lite
from repose_jax.networks.apply import apply
from repose_jax.networks.autoencoder import (
    Autoencoder, AutoencoderConfig, Params, fresh_autoencoder, standardised)
from repose_jax.tasks.task import Stream, Task
from repose_jax.training.config import LoopConfig

_SHOWN = 8
_MEASURED, _AT_ONCE = 512, 32  # pictures by which latents are standardised


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderObjective:
    """Weights of the losses, against 1 for absolute differences of pixels; 0 leaves a term out.

    Attributes:
      gradient: of the differences of neighbouring pixels.
      divergence: of the latents' divergence from a standard normal, nats a number: the larger, the
        smoother the latents and the less they keep.
      perceptual: of the distance of EfficientNet-Lite0's features.
    """

    gradient: Weight = 1.0
    divergence: Weight = 1e-4
    perceptual: Weight = 0.0

    def __post_init__(self):
        check_fields(self, "objective")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderExperiment:
    """What `repose train` needs to know of a first stage.

    Attributes:
      autoencoder: the network.
      image_size: (height, width) of the pictures that it learns; it runs at any multiple of its cells.
      data: whose pictures.
      objective: weights of its losses.
      train: how long, how often; an image is a pair, of which both pictures are learnt.
    """

    autoencoder: AutoencoderConfig
    image_size: tuple[Side, Side] = (128, 64)
    data: DataConfig = DataConfig()
    objective: AutoencoderObjective = AutoencoderObjective()
    train: LoopConfig = LoopConfig(total_images=50_000, batch_size=8)

    def __post_init__(self):
        check_fields(self)
        if not self.autoencoder.channels:
            raise UserError("autoencoder.channels", "is empty", "give the channels of each level")
        cell = self.autoencoder.factor
        if self.objective.perceptual:
            cell = int(np.lcm(cell, efficientnet_lite.CELL))
        if any(side % cell for side in self.image_size):
            raise UserError("image-size", f"is {self.image_size[0]}x{self.image_size[1]}",
                            f"give multiples of {cell}")

    def task(self, init: str | os.PathLike[str] | None = None) -> AutoencoderTask:
        """See `repose_jax.tasks.task.Experiment`."""
        return AutoencoderTask(self, init)


class AutoencoderTask(Task):
    """Trains the first stage of an experiment."""

    kind = "first-stage"

    def __init__(self, experiment: AutoencoderExperiment, init: str | os.PathLike[str] | None):
        self.experiment, self.config = experiment, experiment.autoencoder
        self.loop, self.network, self._init = experiment.train, Autoencoder(self.config), init
        if init is not None:
            loaded = load_autoencoder(init)
            if loaded.config != self.config:
                raise UserError(init, f"has the configuration {loaded.config}",
                                f"use one of {self.config}")
            self.given = loaded.params

    def init(self, key: Key[Array, ""]) -> Params:
        return fresh_autoencoder(self.config)(key)

    def data(self, folder: pathlib.Path) -> Stream:
        data, size = self.experiment.data, self.experiment.image_size
        if self.experiment.objective.perceptual:
            file = efficientnet_lite.published_file()
            self.frozen = efficientnet_lite.params_from_torch(read_state_dict(file), str(file))
        self.source = data.open("train", size=size)
        return Stream(data.batches(self.source, self.loop.batch_size), self.source.identity,
                      [("data", text) for text in self.source.notes],
                      functools.partial(data.held_out_batches, self.loop.batch_size, size=size))

    def batch_shapes(self) -> dict[str, jax.ShapeDtypeStruct]:
        picture = jax.ShapeDtypeStruct(
            (self.loop.batch_size, *self.experiment.image_size, 3), np.uint8)
        return {"source": picture, "target": picture}

    def frozen_shapes(self) -> Params | None:
        return efficientnet_lite.shapes() if self.experiment.objective.perceptual else None

    def loss(self, params, frozen, batch, keys):
        return autoencoder_loss(self.network, self.experiment.objective, params, frozen, batch, keys)

    def validation_loss(self, params, frozen, batch, keys):
        return autoencoder_loss(self.network, self.experiment.objective, params, frozen, batch, keys,
                                draw=False)

    def draw(self, params: Params) -> Image.Image:
        """Pictures above what becomes of them."""
        shown = jnp.asarray(_pictures(self.source, _SHOWN))
        back = to_image(jax.jit(functools.partial(apply, self.network))(params, to_signal(shown)))
        return Image.fromarray(np.concatenate(
            [np.concatenate(list(np.asarray(some)), axis=1) for some in (shown, back)]))

    def identity(self) -> dict[str, Any]:
        return {"autoencoder": identity(self.config), "data": self.experiment.data.identity(),
                "size": list(self.experiment.image_size),
                "objective": identity(self.experiment.objective)}

    def finish(self, params: Params) -> Params:
        encode = jax.jit(lambda params, pictures: apply(
            self.network, params, to_signal(pictures), method="encode").mean)
        pictures = _pictures(self.source, _MEASURED)
        found = np.concatenate([np.asarray(encode(params, pictures[i:i + _AT_ONCE]), np.float64)
                                for i in range(0, len(pictures), _AT_ONCE)])
        mean, deviation = found.mean((0, 1, 2)), found.std((0, 1, 2))
        return jax.device_get(standardised(
            params, jnp.asarray(mean, jnp.float32), jnp.asarray(deviation, jnp.float32)))

    def facts(self, images: int) -> dict[str, Any]:
        return {"images": images, "init": self._init and pathlib.Path(self._init).name,
                "data": self.experiment.data.name, "size": list(self.experiment.image_size)}


def _pictures(source: PairSource, count: int) -> np.ndarray:
    """Some of a dataset's pictures, always the same."""
    chosen = np.random.default_rng(0).permutation(len(source))[:count]
    return np.stack([source.image(int(i)) for i in chosen])


def autoencoder_loss(
    network: Autoencoder, objective: AutoencoderObjective, params: Params, perception: Params | None,
    batch: Mapping[str, Array], keys: Key[Array, "batch"], draw: bool = True,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Equation 31: differences of both pictures of each pair from what their latents become.

    Args:
      network: the autoencoder.
      objective: the weights.
      params: its parameters.
      perception: parameters of EfficientNet-Lite0 where the objective asks for it.
      batch: "source" and "target", uint8 [batch, h, w, 3].
      keys: by which latents are drawn, and pictures moved before EfficientNet-Lite0 sees them.
      draw: draw the latents; otherwise their mean is taken.

    Returns:
      (the loss, its terms and "psnr" in dB).
    """
    pictures = to_signal(jnp.concatenate([batch["source"], batch["target"]]))
    of_source, of_target, moved = (jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(keys)
                                   for i in range(3))
    posterior = apply(network, params, pictures, method="encode")
    latents = posterior.sample(jnp.concatenate([of_source, of_target])) if draw else posterior.mean
    back = apply(network, params, latents, method="decode")
    terms = {"l1": jnp.abs(back - pictures).mean()}
    if objective.gradient:
        terms["gradient"] = objective.gradient * jnp.asarray(sum(
            jnp.abs(ours - theirs).mean() for ours, theirs in zip(
                differences(back), differences(pictures), strict=True)))
    if objective.divergence:
        terms["divergence"] = objective.divergence * posterior.divergence().mean()
    if objective.perceptual:
        everywhere = jnp.ones((*pictures.shape[:3], 1))
        terms |= perceptual_terms(perception, back, pictures, everywhere, everywhere, everywhere,
                                  jnp.concatenate([moved, moved]), objective.perceptual, 0.0)
    unit = jnp.clip(back, -1, 1) / 2 + 0.5
    return jnp.asarray(sum(terms.values())), terms | {
        "psnr": psnr(unit, pictures / 2 + 0.5).mean()}
