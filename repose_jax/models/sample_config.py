"""How pictures are sampled: what a model file and the command line say of it."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.diffusion.guidance import (
    Branch, Normalize, Through, disentangled, two_branch)
from repose_jax.diffusion.samplers import DDIM, DDPM, Sampler
from repose_jax.models.pose_transfer import ModelConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuidanceConfig:
    """Gradient guidance by the pose that is read off the picture being made.

    Attributes:
      pif: w_pif, weight of the squared distance to the valid poses.
      target: w_target, weight of the squared distance to the target pose; with both 0 there is no
        gradient guidance.
      strength: s, factor on each step; with "polyak" the share of the energy that a step removes,
        to first order.
      interval: first and last part of the sampling that is guided, 0 its start (noise), 1 its end.
      shape: course of the strength over the interval: constant, or falling to 0, linear or cosine.
      through: what the gradient is taken with respect to: x0, the predicted picture; or the noisy
        picture, through the denoiser.
      normalize: length of a step, see `repose_jax.diffusion.guidance`.
      clip: most that a step may change a pixel (root mean square, [-1, 1] units); 0 does not clip.
      estimator: the pose estimator: a bundled name, a file or a run.
      field: the pose interaction field, likewise; only read where w_pif is not 0.
    """

    pif: float = 0.0
    target: float = 0.0
    strength: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)
    shape: Literal["constant", "linear", "cosine"] = "constant"
    through: Through = "x0"
    normalize: Normalize = "polyak"
    clip: float = 0.0
    estimator: str = ""
    field: str = ""

    @property
    def active(self) -> bool:
        """Whether there is anything to guide by."""
        return bool(self.strength and (self.pif or self.target))

    def check(self) -> None:
        """Refuses settings that are out of range.

        Raises:
          UserError: names the setting.
        """
        for name in ("pif", "target", "strength", "clip"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"guidance.{name}", f"is {getattr(self, name)}",
                                "give 0 or a positive number")
        start, end = self.interval
        if not 0 <= start <= end <= 1:
            raise UserError("guidance.interval", f"is {start} to {end}",
                            "give two numbers from 0 (noise) to 1 (picture), the lower first")
        for name, words in (("shape", ("constant", "linear", "cosine")),
                            ("through", ("x0", "denoiser")),
                            ("normalize", ("none", "unit", "polyak"))):
            if getattr(self, name) not in words:
                raise UserError(f"guidance.{name}", f"is {getattr(self, name)}",
                                f"give {' or '.join(words)}")

    def structure(self) -> GuidanceConfig:
        """What decides the compiled program: of the numbers, only whether they are 0."""
        if not self.active:
            return GuidanceConfig()
        return dataclasses.replace(
            self, pif=float(self.pif != 0), target=float(self.target != 0), strength=1.0,
            clip=float(self.clip != 0), estimator="", field="")

    def numbers(self) -> dict[str, float]:
        """The rest of it, which a compiled program takes as arguments."""
        return {name: getattr(self, name) for name in ("pif", "target", "strength", "clip")}

    def guided(self, steps: int) -> tuple[int, int]:
        """The first guided step and the one after the last, of so many."""
        if not self.active:
            return 0, 0
        middles = (np.arange(steps) + 0.5) / steps
        inside = np.flatnonzero((middles >= self.interval[0]) & (middles <= self.interval[1]))
        return (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0)

    def course(self, times: np.ndarray, total: int) -> np.ndarray:
        """s(t) / s for guided time steps in order, as a table over all `total` of them."""
        part = np.arange(len(times)) / max(len(times), 1)
        values = {"constant": np.ones(len(times)), "linear": 1 - part,
                  "cosine": 0.5 * (1 + np.cos(np.pi * part))}[self.shape]
        table = np.zeros(total, np.float32)
        table[times] = values
        return table


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """How pictures are sampled.

    Attributes:
      steps: evaluations of the denoiser; 0 leaves the painted picture as it is.
      start: share of noise, 1 - abar, with which sampling begins: 1 is noise alone, less refines
        the painted picture.
      sampler: "ddim" or "ddpm".
      eta: noise of DDIM; 0 is deterministic.
      classifier_free: form of the classifier-free guidance: "two-branch" (PIDM's code) or
        "disentangled" (PIDM's paper).
      source_weight: w of the two-branch form, w_source of the disentangled one; 1 with two
        branches switches guidance off.
      pose_weight: w_pose of the disentangled form.
      guidance: gradient guidance.
    """

    steps: int = 50
    start: float = 1.0
    sampler: Literal["ddim", "ddpm"] = "ddim"
    eta: float = 0.0
    classifier_free: Literal["two-branch", "disentangled"] = "two-branch"
    source_weight: float = 2.0
    pose_weight: float = 2.0
    guidance: GuidanceConfig = GuidanceConfig()

    def check(self, model: ModelConfig) -> None:
        """Refuses settings that are out of range for a model.

        Raises:
          UserError: names the setting.
        """
        if not 0 < self.start <= 1:
            raise UserError("start", f"is {self.start}", "give a share of noise above 0, up to 1")
        painter = bool(model.network.painter.channels and model.network.rpa.copy)
        if self.start < 1 and not painter:
            raise UserError("start", f"is {self.start}, but the model paints no picture to refine",
                            "give 1")
        least, most = int(not painter), model.schedule.up_to(self.start)
        if not least <= self.steps <= most:
            raise UserError("steps", f"is {self.steps}", f"give {least} to {most}")
        if not 0 <= self.eta <= 1:
            raise UserError("eta", f"is {self.eta}", "give 0 (DDIM) to 1 (ancestral noise)")
        for name in ("source_weight", "pose_weight"):
            if not math.isfinite(getattr(self, name)):
                raise UserError(name, f"is {getattr(self, name)}", "give a finite number")
        for name, words in (("sampler", ("ddim", "ddpm")),
                            ("classifier_free", ("two-branch", "disentangled"))):
            if getattr(self, name) not in words:
                raise UserError(name, f"is {getattr(self, name)}", f"give {' or '.join(words)}")
        self.guidance.check()

    def coefficients(self) -> dict[Branch, float]:
        """Of the classifier-free guidance."""
        if self.classifier_free == "two-branch":
            return two_branch(self.source_weight)
        return disentangled(self.pose_weight, self.source_weight)

    def stepper(self) -> Sampler:
        """The sampler's step."""
        return DDPM() if self.sampler == "ddpm" else DDIM(eta=self.eta)
