"""What the presets of networks that read where a person faces share."""

from repose_jax.common.ranges import Framing
from repose_jax.data.config import DataConfig
from repose_jax.networks.facing import FacingConfig
from repose_jax.tasks.facing import FacingExperiment
from repose_jax.training.config import LoopConfig
from repose_jax.training.state import OptimizerConfig


def facing(skeleton: str, framing: Framing = "whole") -> FacingExperiment:
    """A network of 8,000 parameters, trained for some seconds."""
    return FacingExperiment(
        facing=FacingConfig(skeleton=skeleton),
        data=DataConfig(path="people", identities=3000, framing=framing),
        train=LoopConfig(
            total_images=2_048_000, batch_size=256, ema_decay=0.995, log_every_images=51_200,
            checkpoint_every_images=512_000, sample_every_images=0,
            optimizer=OptimizerConfig(learning_rate=3e-3, warmup_images=25_600, decay="cosine",
                                      weight_decay=1e-3)))
