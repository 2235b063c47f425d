"""What the presets of pose estimators share: sizes for a small budget and the course of training.

The estimator that guides and the one that judges have nothing in common but their task: seed,
width, order of the data and kind of guesses differ, so that a guidance which merely learnt to please
the one is found out by the other.
"""

import dataclasses

from repose_jax.data.config import DataConfig
from repose_jax.networks.pose_estimator import EstimatorConfig
from repose_jax.tasks.pose_estimator import EstimatorExperiment
from repose_jax.training.config import LoopConfig
from repose_jax.training.state import OptimizerConfig


def _train(images: int, seed: int) -> LoopConfig:
    return LoopConfig(
        total_images=images, batch_size=32, seed=seed, ema_decay=0.999, log_every_images=1_600,
        checkpoint_every_images=8_000, sample_every_images=16_000,
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup_images=3_200, decay="cosine",
                                  weight_decay=0.02))


def guide(skeleton: str, denoiser: str, data: DataConfig, images: int) -> EstimatorExperiment:
    """The estimator whose gradient guides: guesses as they occur in sampling."""
    return EstimatorExperiment(
        estimator=EstimatorConfig(skeleton=skeleton, channels=(48, 96, 128)), data=data,
        denoiser=denoiser, clean=0.25, posed=0.5, train=_train(images, seed=0))


def reader(skeleton: str, denoiser: str, data: DataConfig, images: int) -> EstimatorExperiment:
    """The estimator that reads photos: pictures as they are."""
    return dataclasses.replace(guide(skeleton, denoiser, data, images), clean=1.0, posed=0.0)


def judge(skeleton: str, denoiser: str, data: DataConfig, images: int) -> EstimatorExperiment:
    """The estimator that judges: never shown a picture whose pose the model was told."""
    return EstimatorExperiment(
        estimator=EstimatorConfig(skeleton=skeleton, channels=(64, 80, 160)), data=data,
        denoiser=denoiser, clean=0.5, posed=0.0, train=_train(images, seed=1))
