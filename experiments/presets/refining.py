"""The architecture that paints and refines: 128x64, 2x2 patches, three levels.

The aligned source is kept at full resolution by a mask, a painter fills in the rest, and the
denoiser refines the painted picture from a share of noise below 1.
"""

import dataclasses

from repose_jax.data.augment.config import AugmentConfig
from repose_jax.data.config import DataConfig
from repose_jax.diffusion.schedule import Schedule
from repose_jax.experiments.presets import small
from repose_jax.models.model_config import ModelConfig, ObjectiveConfig
from repose_jax.models.painting_loss import PaintingObjective
from repose_jax.models.sample_config import SampleConfig
from repose_jax.networks.network import NetworkConfig
from repose_jax.networks.painter import PainterConfig
from repose_jax.networks.rpa import Initial, RPAConfig
from repose_jax.networks.unet import UNetConfig
from repose_jax.training.config import LoopConfig
from repose_jax.training.state import OptimizerConfig

NOISE = 0.6


def model(skeleton: str, scene: bool = False, initial: Initial = "skeleton",
          finer: int = 1, photos: bool = False) -> ModelConfig:
    """The architecture for a skeleton; `scene` for one that keeps the source's place, `initial` where
    the flow begins, `finer` how many times 128x64 the pictures are, in the same cells, `photos` for
    what real photos need more than rendered ones: heads that turn by themselves, what is hidden looked
    for on the person's other side, bodies as wide as the photo shows them and arms before or behind
    them, legs that go on beyond the edge, cloth continued over a plain place, hair and cloth told from
    the place by their colours, no colour beyond white or black."""
    return ModelConfig(
        network=NetworkConfig(
            image_size=(128 * finer, 64 * finer), skeleton=skeleton, cut_off_legs=photos,
            unet=UNetConfig(channels=(48, 96, 128), blocks=1, attention=(2,), patch=2 * finer,
                            refine=16, groups=16, dropout=0.0, resample_blocks=False),
            encoder_channels=(32, 48, 64),
            rpa=RPAConfig(iterations=3, initial=initial, own_head=photos, symmetric=photos,
                          layers=photos, spread=photos, hidden=24, finest=1),
            painter=PainterConfig(channels=(48, 96, 128), blocks=1, refine=16, groups=16,
                                  scene=scene, scene_by_color=photos, in_range=photos)),
        schedule=Schedule(kind="cosine"), prediction="x0", copy_fades=False)


def painter_train(images: int) -> LoopConfig:
    """The course of the painter's training for a budget of `images` pairs."""
    return LoopConfig(
        total_images=images, batch_size=8, ema_decay=0.998, log_every_images=400,
        checkpoint_every_images=2_000, sample_every_images=4_000,
        optimizer=OptimizerConfig(learning_rate=4e-4, warmup_images=1_600, decay="constant",
                                  betas=(0.5, 0.99), clip_norm=5.0))


def refiner_train(images: int) -> LoopConfig:
    """The course of the denoiser's training for a budget of `images` pairs."""
    return LoopConfig(
        total_images=images, batch_size=8, ema_decay=0.999, log_every_images=400,
        checkpoint_every_images=2_000, sample_every_images=4_000,
        optimizer=OptimizerConfig(learning_rate=8e-4, warmup_images=1_600, decay="constant"))


def sample(domain: str, steps: int = 3, head: float = 0.0, palette: float = 0.0) -> SampleConfig:
    """The sampler's settings for a domain; 0 steps leave the painted picture as it is.

    Chosen on held-out training people of Market-1501 among starts of .15 to .6, 2 to 8 steps and
    strengths 0, 1 and 2 (docs/training-log.md); the temperature on rendered people, where 1 speckles.
    """
    return SampleConfig(steps=steps, start=0.5, temperature=0.3, head=head, palette=palette,
                        source_weight=1.0,
                        guidance=dataclasses.replace(small.guidance(domain), strength=1.0))


PAINTING = PaintingObjective(perceptual=0.2, style=0.5)
# Pairs of Market-1501 were taken by several cameras: nobody can know the target's place.
IN_ITS_PLACE = dataclasses.replace(PAINTING, style=1.0, keep_place=True, repaint=0.12)
# Rendered people's alignment is known; their pictures are taken in one place.
TAUGHT = dataclasses.replace(PAINTING, vacated=3.0, correspondence=0.05)
PEOPLE = DataConfig(path="people", identities=3000, views=6, scene="person")
# Of those who are no longer small in their pictures many are seen in part.
LARGER_PEOPLE = dataclasses.replace(PEOPLE, identities=8000, views=4, framing="any", cloth="loose",
                                    heads="lifelike",
                                    augment=AugmentConfig(color=0.6, color_strength=0.25))
OBJECTIVE = ObjectiveConfig(drop_source=0.0, draws=2, noise=NOISE)
