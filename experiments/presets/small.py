"""The small architecture of the bundled models: 128x64, 5.9 million parameters.

Chosen for a small budget of training: 4x4 patches, three narrow levels, plain resampling, two
noise levels for each encoded source, x0 with the copy path. With patches this large the
preconditioned x0 still leaves noise in the pictures after 5,000 images, where plain x0 leaves none.
"""

from repose_jax.diffusion.schedule import Schedule
from repose_jax.models.model_config import ModelConfig, ObjectiveConfig
from repose_jax.models.sample_config import GuidanceConfig, SampleConfig
from repose_jax.networks.network import NetworkConfig
from repose_jax.networks.rpa import RPAConfig
from repose_jax.networks.unet import UNetConfig
from repose_jax.training.config import LoopConfig
from repose_jax.training.state import OptimizerConfig


def model(skeleton: str) -> ModelConfig:
    """The architecture for a skeleton."""
    return ModelConfig(
        network=NetworkConfig(
            image_size=(128, 64), skeleton=skeleton,
            unet=UNetConfig(channels=(80, 128, 144), blocks=1, attention=(1, 2), patch=4,
                            refine=24, groups=16, dropout=0.0,
                            resample_blocks=False),
            encoder_channels=(48, 64, 96),
            rpa=RPAConfig(iterations=3, initial="skeleton", hidden=24)),
        schedule=Schedule(kind="cosine"),
        prediction="x0")


def guidance(domain: str) -> GuidanceConfig:
    """The recommended gradient guidance with the bundled networks of a domain.

    Chosen on training people (experiments/ablations/choice.py): above a strength of 2 the pose gains
    less than the likeness to the real picture loses; with w_pif = 3 the field lowers its distance at
    little cost to the target's; a strength that falls linearly leaves more of the error. Whether a part
    of the sampling can be left alone has not been measured.
    """
    return GuidanceConfig(
        pif=3.0, target=1.0, strength=2.0, interval=(0.0, 1.0), through="x0", normalize="polyak",
        clip=0.1, estimator=f"estimator-{domain}", field=f"field-{domain}")


def sample(domain: str) -> SampleConfig:
    """The sampler's settings for a domain.

    After this little training few steps are better: errors add up over many. Chosen on training
    people among 5 to 50 steps and weights 1 to 3.
    """
    return SampleConfig(steps=6, source_weight=2.5, guidance=guidance(domain))


OBJECTIVE = ObjectiveConfig(drop_source=0.1, drop_pose=0.05, drop_both=0.05, draws=2)


def train(images: int) -> LoopConfig:
    """The course of training for a budget of `images` pairs."""
    return LoopConfig(
        total_images=images, batch_size=8, ema_decay=0.999, log_every_images=400,
        checkpoint_every_images=4_000, sample_every_images=4_000,
        optimizer=OptimizerConfig(learning_rate=8e-4, warmup_images=3_200, decay="cosine",
                                  weight_decay=0.01, clip_norm=1.0))
