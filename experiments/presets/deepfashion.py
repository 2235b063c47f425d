"""What the DeepFashion presets share: `base`, in bfloat16 and recomputing activations.

Not presets themselves; their scores are not known, as nothing of this size was trained here.
"""

from __future__ import annotations

import dataclasses

from repose_jax.data.config import DataConfig
from repose_jax.diffusion.schedule import Schedule
from repose_jax.models.model_config import ModelConfig, ObjectiveConfig
from repose_jax.networks.autoencoder import AutoencoderConfig
from repose_jax.networks.network import NetworkConfig
from repose_jax.networks.rpa import RPAConfig
from repose_jax.networks.unet import UNetConfig
from repose_jax.tasks.pose_transfer import ExperimentConfig
from repose_jax.training.config import LoopConfig
from repose_jax.training.state import OptimizerConfig


def deepfashion(size: tuple[int, int], channels: tuple[int, ...], attention: tuple[int, ...],
                batch_size: int) -> ExperimentConfig:
    """A preset for DeepFashion's pictures of a size (height, width), which the levels must divide."""
    unet = UNetConfig(channels=channels, attention=attention, bfloat16=True, remat=True)
    network = NetworkConfig(
        image_size=size, skeleton="openpose18", unet=unet, learned_variance=True,
        rpa=RPAConfig(iterations=3, hidden=64, copy=False))
    return ExperimentConfig(
        model=ModelConfig(
            network=network, schedule=Schedule(kind="linear"), prediction="epsilon"),
        data=DataConfig(path="deepfashion", workers=8, cache=False),
        objective=ObjectiveConfig(drop_source=0.1, drop_pose=0.05, drop_both=0.05),
        train=LoopConfig(
            total_images=30_000_000, batch_size=batch_size, ema_decay=0.9999,
            log_every_images=25_600, checkpoint_every_images=256_000,
            sample_every_images=1_024_000,
            optimizer=OptimizerConfig(learning_rate=2e-5, warmup_images=320_000,
                                      decay="linear")))


def deepfashion_latent(size: tuple[int, int], stage: AutoencoderConfig, batch_size: int
                       ) -> ExperimentConfig:
    """A preset for the latents of a first stage, of which four cells must divide the pictures' size.

    Prediction of v, as nothing is known of a bound on latents and no picture's bits are predicted.
    """
    pictures = deepfashion(size, (256, 384, 512), (1, 2), batch_size)
    network = dataclasses.replace(pictures.model.network, learned_variance=False)
    return dataclasses.replace(
        pictures, model=ModelConfig(network=network, schedule=Schedule(kind="cosine"), prediction="v",
                                    first_stage=stage))
