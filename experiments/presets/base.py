"""PIDM's configuration with recurrent pose alignment on top, 256x256, 166 million parameters.

Command:   repose train base --data.path FOLDER --output runs/base
Hardware:  meant for several GPUs; `repose show-config base` tells the memory of its state.
Time, scores: not trained here. PIDM reports 5 days on 8 A100 for 300 epochs.
"""

from repose_jax.data.config import DataConfig
from repose_jax.diffusion.schedule import Schedule
from repose_jax.models.model_config import ModelConfig, ObjectiveConfig
from repose_jax.networks.network import NetworkConfig
from repose_jax.networks.rpa import RPAConfig
from repose_jax.networks.unet import UNetConfig
from repose_jax.tasks.pose_transfer import ExperimentConfig
from repose_jax.training.config import LoopConfig
from repose_jax.training.state import OptimizerConfig

CONFIG = ExperimentConfig(
    model=ModelConfig(
        network=NetworkConfig(
            image_size=(256, 256), skeleton="openpose18", unet=UNetConfig(),
            rpa=RPAConfig(iterations=3, hidden=64, copy=False), learned_variance=True),
        schedule=Schedule(kind="linear"), prediction="epsilon"),
    data=DataConfig(path="deepfashion", workers=8, cache=False),
    objective=ObjectiveConfig(drop_source=0.1, drop_pose=0.05, drop_both=0.05),
    train=LoopConfig(
        total_images=30_000_000, batch_size=64, ema_decay=0.9999,
        log_every_images=6_400, checkpoint_every_images=256_000, sample_every_images=256_000,
        optimizer=OptimizerConfig(learning_rate=2e-5, warmup_images=320_000,
                                  decay="linear")))
