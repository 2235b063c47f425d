"""What a command line says of sampling, over what a model has of its own.

Imports nothing heavy, so that a command's help is told at once.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

from repose_jax.common.errors import UserError
from repose_jax.common.ranges import Fraction, Weight

if TYPE_CHECKING:
    from repose_jax.models.sample_config import SampleConfig


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


def given(options: Any, *names: str) -> dict[str, Any]:
    """The fields of a dataclass that are not None, all of them or those named."""
    return {name: value for name in names or [f.name for f in dataclasses.fields(options)]
            if (value := getattr(options, name)) is not None}
