"""A preset: the smallest diffusion model that has every part, so that processes of their own compile it
quickly. `repose train tests/smallest_model.py`."""

from repose_jax.data.config import DataConfig
from repose_jax.diffusion.schedule import Schedule
from repose_jax.models.model_config import ModelConfig, ObjectiveConfig
from repose_jax.models.sample_config import SampleConfig
from repose_jax.networks.network import NetworkConfig
from repose_jax.networks.rpa import RPAConfig
from repose_jax.networks.unet import UNetConfig
from repose_jax.tasks.pose_transfer import ExperimentConfig
from repose_jax.training.config import LoopConfig

CONFIG = ExperimentConfig(
    model=ModelConfig(
        network=NetworkConfig(
            image_size=(32, 16), skeleton="openpose18",
            unet=UNetConfig(channels=(8,), blocks=1, attention=(0,), patch=4, refine=4, groups=4,
                            dropout=0.0, resample_blocks=False),
            rpa=RPAConfig(iterations=1, hidden=8)),
        schedule=Schedule(kind="cosine", steps=100), prediction="x0"),
    data=DataConfig(path="people", identities=8, views=3),
    objective=ObjectiveConfig(drop_pose=0.05, drop_both=0.05),
    sample=SampleConfig(steps=1),
    train=LoopConfig(total_images=48, batch_size=8))
