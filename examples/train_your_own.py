"""Train something of your own: an autoencoder of pictures of people, in one file.

    repose train examples/train_your_own.py --output runs/autoencoder

An experiment says what is learnt, from what and how long; its fields are the command's options. A
task says how: fresh parameters, batches, the loss. The trainer does the rest: all devices,
checkpoints, a log, sample pictures, a model file, and a run that is stopped goes on where it was.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8
from PIL import Image

from repose_jax.common.fields import to_dict
from repose_jax.common.signal import to_image, to_signal
from repose_jax.data.config import DataConfig
from repose_jax.models.weights import load_weights
from repose_jax.tasks.task import Stream, Task
from repose_jax.training.config import LoopConfig
from repose_jax.training.state import OptimizerConfig, Params


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Sizes.

    Attributes:
      image_size: (height, width) of the pictures, multiples of 4.
      channels: of the code, which has a quarter of the picture's height and width.
      width: channels in between.
    """

    image_size: tuple[int, int] = (32, 16)
    channels: int = 4
    width: int = 16


class Autoencoder(nn.Module):
    """Pictures in [-1, 1] to a code and back."""

    config: AutoencoderConfig

    @nn.compact
    def __call__(self, x: Float[Array, "batch h w 3"]) -> Float[Array, "batch h w 3"]:
        cfg = self.config
        code = nn.Conv(cfg.channels, (1, 1))(nn.silu(nn.Conv(cfg.width, (4, 4), 4)(x)))
        return nn.ConvTranspose(3, (4, 4), (4, 4))(nn.silu(nn.Conv(cfg.width, (3, 3))(code)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderExperiment:
    """Everything `repose train` needs to know.

    Attributes:
      autoencoder: the network.
      data: whose pictures it learns.
      train: how long, how often.
    """

    autoencoder: AutoencoderConfig = AutoencoderConfig()
    data: DataConfig = DataConfig(path="people", identities=64, views=2)
    train: LoopConfig = LoopConfig(
        total_images=4_096, batch_size=16, log_every_images=512, ema_decay=0.9,
        optimizer=OptimizerConfig(learning_rate=3e-3))

    def task(self, init: str | os.PathLike[str] | None = None) -> AutoencoderTask:
        """The task; `init` names the weights to start from."""
        return AutoencoderTask(self, init)


def fresh_autoencoder(config: AutoencoderConfig):
    """The function that makes fresh parameters from a key."""
    def init(key: Key[Array, ""]) -> Params:
        return Autoencoder(config).init(key, jnp.zeros((1, *config.image_size, 3)))["params"]

    return init


class AutoencoderTask(Task):
    """Trains the network of an experiment."""

    kind = "autoencoder"

    def __init__(self, experiment: AutoencoderExperiment, init: str | os.PathLike[str] | None):
        self.experiment, self.config = experiment, experiment.autoencoder
        self.loop, self.network = experiment.train, Autoencoder(self.config)
        if init is not None:
            self.given = load_weights(init, self.kind, AutoencoderConfig, fresh_autoencoder,
                                      like=self.config).params

    def init(self, key: Key[Array, ""]) -> Params:
        return fresh_autoencoder(self.config)(key)

    def data(self, folder: pathlib.Path) -> Stream:
        data = self.experiment.data
        source = data.open("train", size=self.config.image_size)
        self.shown = np.stack([source.image(i) for i in range(8)])
        return Stream(data.batches(source, self.loop.batch_size), source.identity,
                      [("data", text) for text in source.notes])

    def loss(self, params, frozen, batch, keys):
        pictures = to_signal(batch["target"])
        error = (self.network.apply({"params": params}, pictures) - pictures) ** 2
        return error.mean(), {"worst": error.mean((1, 2, 3)).max()}

    def draw(self, params: Params) -> Image.Image:
        """Pictures above what becomes of them."""
        rows = [np.concatenate(list(some), axis=1)
                for some in (self.shown, self.restored(params, self.shown))]
        return Image.fromarray(np.concatenate(rows))

    def restored(
        self, params: Params, pictures: UInt8[np.ndarray, "n h w 3"]
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """Pictures through the code and back."""
        return np.asarray(to_image(self.network.apply({"params": params},
                                                      to_signal(jnp.asarray(pictures)))))

    def identity(self) -> dict[str, Any]:
        return {"autoencoder": to_dict(self.config), "data": self.experiment.data.identity()}


CONFIG = AutoencoderExperiment()

if __name__ == "__main__":
    from repose_jax.tasks.fit import fit

    print(fit(CONFIG.task(), "runs/autoencoder"), "on", jax.devices()[0])
