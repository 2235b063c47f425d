"""A toy that trains in a minute: 32x16 rendered people, 8 to 16 channels. For first steps.

Command:   repose train tiny --output runs/tiny
Hardware:  one CPU core; half a minute, most of it compilation.
Scores:    none worth reporting; the pictures stay noise.
"""

from repose_jax.data.config import DataConfig
from repose_jax.diffusion.schedule import Schedule
from repose_jax.models.model_config import ModelConfig, ObjectiveConfig
from repose_jax.models.sample_config import SampleConfig
from repose_jax.networks.network import NetworkConfig
from repose_jax.networks.rpa import RPAConfig
from repose_jax.networks.unet import UNetConfig
from repose_jax.tasks.pose_transfer import ExperimentConfig
from repose_jax.training.config import LoopConfig
from repose_jax.training.state import OptimizerConfig

CONFIG = ExperimentConfig(
    model=ModelConfig(
        network=NetworkConfig(
            image_size=(32, 16), skeleton="openpose18",
            unet=UNetConfig(channels=(8, 16), blocks=1, attention=(1,), patch=2, refine=4,
                            groups=4, dropout=0.0, resample_blocks=False),
            rpa=RPAConfig(iterations=1, hidden=8)),
        schedule=Schedule(kind="cosine", steps=100), prediction="x0"),
    data=DataConfig(path="people", identities=16, views=4),
    objective=ObjectiveConfig(drop_pose=0.05, drop_both=0.05),
    sample=SampleConfig(steps=4),
    train=LoopConfig(
        total_images=512, batch_size=8, ema_decay=0.99, log_every_images=64,
        checkpoint_every_images=256, sample_every_images=256,
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup_images=64)))
