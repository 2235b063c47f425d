"""What the presets of first stages share: a small autoencoder of ours, 4x4 cells.

Not presets themselves. 2x2 pixels are folded into channels first, so that the largest maps, which
cost most, are a quarter of the picture.
"""

from __future__ import annotations

from repose_jax.data.config import DataConfig
from repose_jax.networks.autoencoder import AutoencoderConfig
from repose_jax.tasks.autoencoder import AutoencoderExperiment
from repose_jax.training.config import LoopConfig
from repose_jax.training.state import OptimizerConfig

SMALL = AutoencoderConfig(channels=(48, 64), blocks=1, latent=4, patch=2, groups=16, attention=False)
STABLE_DIFFUSION = AutoencoderConfig(channels=(128, 256, 512, 512))


def first_stage(
    data: DataConfig, image_size: tuple[int, int], images: int, batch_size: int
) -> AutoencoderExperiment:
    """A preset for pictures of a size (height, width)."""
    return AutoencoderExperiment(
        autoencoder=SMALL, image_size=image_size, data=data,
        train=LoopConfig(
            total_images=images, batch_size=batch_size, ema_decay=0.998, log_every_images=400,
            checkpoint_every_images=4_000, sample_every_images=4_000,
            optimizer=OptimizerConfig(learning_rate=1e-3, warmup_images=1_600, decay="cosine",
                                      clip_norm=1.0)))
