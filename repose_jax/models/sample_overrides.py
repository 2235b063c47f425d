"""What a command line says of sampling, over what a model has of its own."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from repose_jax.common.errors import UserError
from repose_jax.common.fields import given
from repose_jax.common.ranges import Finite, Fraction, Natural, Weight
from repose_jax.diffusion.time_grid import TimeGrid
from repose_jax.models.sample_config import SampleConfig, SamplerName


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuidanceOptions:
    """Gradient guidance; what is None is the model's own.

    Attributes:
      pif: weight of the distance to the valid poses; 0 switches it off.
      target: weight of the distance to the target pose; 0 switches it off.
      strength: share of the energy that a step removes, to first order.
      interval: guided part of the sampling, from 0 (noise) to 1 (picture).
      shape: course of the strength over the interval.
      through: what the gradient is taken with respect to.
      normalize: length of a step.
      clip: most that a step may change a pixel, root mean square; 0 does not clip.
      estimator: pose estimator: a bundled name, a file or a run.
      field: pose interaction field, likewise.
    """

    pif: Weight | None = None
    target: Weight | None = None
    strength: Weight | None = None
    interval: tuple[Fraction, Fraction] | None = None
    shape: Literal["constant", "linear", "cosine"] | None = None
    through: Literal["x0", "denoiser"] | None = None
    normalize: Literal["none", "unit", "polyak"] | None = None
    clip: Weight | None = None
    estimator: str | None = None
    field: str | None = None

    def over(self, config: SampleConfig, **settings: Any) -> SampleConfig:
        """A model's own settings with what is given here, and other settings, in their place.

        Raises:
          UserError: guidance is asked for where there is no step that it could guide.
        """
        asked = given(self)
        merged = dataclasses.replace(
            config, guidance=dataclasses.replace(config.guidance, **asked), **settings)
        if asked and merged.guidance.active and not merged.steps:
            raise UserError(f"guidance.{next(iter(asked))}",
                            "has nothing to guide, as the painted picture is shown after 0 steps",
                            "give --steps, such as 3, or leave it out")
        return merged


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """The sampler's settings; what is None is the model's own.

    Attributes:
      steps: evaluations of the denoiser.
      start: share of noise to begin with: 1 is noise alone, less refines the painted picture.
      temperature: what the noise is multiplied by with which the painted picture is refined: less
        than 1 gives smoother pictures, 0 the same one for every seed.
      keep: how much more of the photo the painted picture keeps than the painter would: with 2 prints
        and faces are sharper, and what is aligned wrongly shows; below 0, less.
      palette: how much of what is painted anew are the photo's own colours, from 0 to 1.
      head: how much of the head is the source's own, where both poses show the same side of it.
      sampler: ddim, ddpm, dpm++2m, unipc or heun.
      times: how the evaluations are spaced: uniform or trailing in time, log-snr or karras.
      eta: noise of ddim.
      source_weight: weight of the source in classifier-free guidance.
      pose_weight: weight of the pose, with --classifier-free disentangled.
      classifier_free: form of the classifier-free guidance.
      classifier_free_interval: part of the sampling under classifier-free guidance, from 0 (noise)
        to 1 (picture); the rest costs half.
      guidance: gradient guidance.
    """

    steps: Natural | None = None
    start: Fraction | None = None
    temperature: Fraction | None = None
    keep: Finite | None = None
    palette: Fraction | None = None
    head: Fraction | None = None
    sampler: SamplerName | None = None
    times: TimeGrid | None = None
    eta: Fraction | None = None
    source_weight: Finite | None = None
    pose_weight: Finite | None = None
    classifier_free: Literal["two-branch", "disentangled"] | None = None
    classifier_free_interval: tuple[Fraction, Fraction] | None = None
    guidance: GuidanceOptions = GuidanceOptions()

    def over(self, config: SampleConfig) -> SampleConfig:
        """A model's own settings with what is given here in their place.

        Raises:
          UserError: guidance is asked for where there is no step that it could guide.
        """
        plain = [field.name for field in dataclasses.fields(SampleOptions) if field.name != "guidance"]
        return self.guidance.over(config, **given(self, *plain))
