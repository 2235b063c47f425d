"""What the presets of pose interaction fields share."""

from repose_jax.data.config import DataConfig
from repose_jax.networks.pif import FieldConfig
from repose_jax.tasks.pose_field import FieldExperiment
from repose_jax.training.config import LoopConfig
from repose_jax.training.state import OptimizerConfig


def field(skeleton: str, data: DataConfig) -> FieldExperiment:
    """A field of 0.25 million parameters, trained for some minutes."""
    return FieldExperiment(
        field=FieldConfig(skeleton=skeleton), data=data,
        train=LoopConfig(
            total_images=4_096_000, batch_size=1024, ema_decay=0.995, log_every_images=102_400,
            checkpoint_every_images=1_024_000, sample_every_images=0,
            optimizer=OptimizerConfig(learning_rate=1e-3, warmup_images=102_400, decay="cosine",
                                      weight_decay=1e-4)))
