"""From source, poses and keys to pictures: guidance and sampler put together."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Literal

import jax
from jaxtyping import Array, Float, Key, UInt8

from repose_jax.diffusion.guidance import Branch, disentangled, two_branch
from repose_jax.diffusion.samplers import DDIM, DDPM, Sampler, Segment, Step, sample
from repose_jax.errors import UserError
from repose_jax.model import Params, RePoseModel, to_image, to_signal


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """How pictures are sampled.

    Attributes:
      steps: evaluations of the denoiser.
      sampler: "ddim" or "ddpm".
      eta: noise of DDIM; 0 is deterministic.
      guidance: form of the classifier-free guidance: "two-branch" (PIDM's code) or "disentangled"
        (PIDM's paper).
      source_weight: w of the two-branch form, w_source of the disentangled one; 1 with two
        branches switches guidance off.
      pose_weight: w_pose of the disentangled form.
    """

    steps: int = 50
    sampler: Literal["ddim", "ddpm"] = "ddim"
    eta: float = 0.0
    guidance: Literal["two-branch", "disentangled"] = "two-branch"
    source_weight: float = 2.0
    pose_weight: float = 2.0

    def check(self, schedule_steps: int) -> None:
        """Refuses settings that are out of range.

        Raises:
          UserError: names the setting.
        """
        if not 1 <= self.steps <= schedule_steps:
            raise UserError("steps", f"is {self.steps}", f"give 1 to {schedule_steps}")
        if not 0 <= self.eta <= 1:
            raise UserError("eta", f"is {self.eta}", "give 0 (DDIM) to 1 (ancestral noise)")
        for name in ("source_weight", "pose_weight"):
            if not math.isfinite(getattr(self, name)):
                raise UserError(name, f"is {getattr(self, name)}", "give a finite number")
        for name, words in (("sampler", ("ddim", "ddpm")),
                            ("guidance", ("two-branch", "disentangled"))):
            if getattr(self, name) not in words:
                raise UserError(name, f"is {getattr(self, name)}", f"give {' or '.join(words)}")

    def coefficients(self) -> dict[Branch, float]:
        """Of the classifier-free guidance."""
        if self.guidance == "two-branch":
            return two_branch(self.source_weight)
        return disentangled(self.pose_weight, self.source_weight)

    def stepper(self) -> Sampler:
        """The sampler's step."""
        return DDPM() if self.sampler == "ddpm" else DDIM(eta=self.eta)


@functools.partial(jax.jit, static_argnames=("model", "config", "trajectory"))
def generate(
    model: RePoseModel,
    params: Params,
    source: UInt8[Array, "batch h w 3"],
    source_pose: Float[Array, "batch joints 3"],
    target_pose: Float[Array, "batch joints 3"],
    keys: Key[Array, "batch"],
    config: SampleConfig = SampleConfig(),
    trajectory: bool = False,
) -> tuple[UInt8[Array, "batch h w 3"], list[Step]]:
    """Paints the people of the sources in the target poses.

    The source is encoded and aligned once; every branch of the guidance is evaluated in one call;
    all steps are one scan.

    Args:
      model: the model.
      params: its parameters.
      source: source pictures.
      source_pose, target_pose: pixels of the pictures.
      keys: one a picture; a picture depends on its own key alone, not on its neighbours.
      config: steps, sampler, guidance.
      trajectory: also return every step's prediction.

    Returns:
      (pictures, the trajectory's segments).
    """
    denoiser = model.guided_denoiser(params, to_signal(source), source_pose, target_pose,
                                     config.coefficients())
    schedule = model.config.schedule
    segments = [Segment(denoiser, schedule.spaced(config.steps))]
    pictures, steps = sample(segments, schedule, config.stepper(), keys, source.shape[1:3],
                             trajectory=trajectory)
    return to_image(pictures), steps
