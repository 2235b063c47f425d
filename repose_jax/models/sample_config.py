"""How pictures are sampled: what a model file and the command line say of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Int

from repose_jax.common.errors import UserError
from repose_jax.common.fields import added
from repose_jax.common.ranges import Finite, Fraction, Natural, Range, Weight, check_fields
from repose_jax.diffusion.guidance import (
    Branch, Normalize, Through, disentangled, two_branch)
from repose_jax.diffusion.samplers import DDIM, DDPM, Sampler
from repose_jax.diffusion.schedule import Schedule
from repose_jax.diffusion.solvers import DPMSolver, Heun, Solver, UniPC
from repose_jax.diffusion.time_grid import TimeGrid, time_grid
from repose_jax.models.model_config import ModelConfig
from repose_jax.pose.head import has_face
from repose_jax.pose.skeleton import SKELETONS

SamplerName = Literal["ddim", "ddpm", "dpm++2m", "unipc", "heun"]

_SOLVERS: dict[str, Callable[[], Solver]] = {"dpm++2m": DPMSolver, "unipc": UniPC, "heun": Heun}


def check_interval(where: str, interval: tuple[float, float]) -> None:
    """Refuses an interval whose end comes before its start."""
    if interval[0] > interval[1]:
        raise UserError(where, f"is {interval[0]} to {interval[1]}",
                        "give two numbers from 0 (noise) to 1 (picture), the lower first")


def steps_inside(interval: tuple[float, float], steps: int) -> tuple[int, int]:
    """The first step whose middle is in a part of the sampling, and the one after the last."""
    middles = (np.arange(steps) + 0.5) / steps
    inside = np.flatnonzero((middles >= interval[0]) & (middles <= interval[1]))
    return (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0)


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

    pif: Weight = 0.0
    target: Weight = 0.0
    strength: Weight = 1.0
    interval: tuple[Fraction, Fraction] = (0.0, 1.0)
    shape: Literal["constant", "linear", "cosine"] = "constant"
    through: Through = "x0"
    normalize: Normalize = "polyak"
    clip: Weight = 0.0
    estimator: str = ""
    field: str = ""

    def __post_init__(self):
        check_fields(self, "guidance")
        check_interval("guidance.interval", self.interval)

    @property
    def active(self) -> bool:
        """Whether there is anything to guide by."""
        return bool(self.strength and (self.pif or self.target))

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
        return steps_inside(self.interval, steps) if self.active else (0, 0)

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
      temperature: what the noise that the painted picture gets at first is multiplied by: 1 draws from
        what the denoiser has learnt, 0 leaves nothing to chance (docs/method.md, equation 23).
      keep: how much more of the aligned source the painted picture keeps than the painter would: the
        odds of its mask times e^keep; below 0, less.
      palette: how much of what is painted anew are the photo's own colours, those of the nearest part
        of the person, and not what the painter mixes (docs/method.md, equation 37).
      head: how much of the head is the source's own, moved as a whole, where both poses show the same
        side of it (docs/method.md, equation 33).
      sampler: "ddim", "ddpm", or of higher order and without noise "dpm++2m", "unipc" or "heun",
        which evaluates the denoiser twice a step (see `repose_jax.diffusion.solvers`).
      times: how the evaluations are spaced: "uniform" or "trailing" in t, in "log-snr", or as
        "karras" (see `repose_jax.diffusion.time_grid`).
      eta: noise of DDIM; 0 is deterministic, 1 is ancestral.
      classifier_free: form of the classifier-free guidance: "two-branch" (PIDM's code) or
        "disentangled" (PIDM's paper).
      source_weight: w of the two-branch form, w_source of the disentangled one; 1 with two
        branches switches guidance off.
      pose_weight: w_pose of the disentangled form.
      classifier_free_interval: first and last part of the sampling under classifier-free guidance,
        0 its start (noise), 1 its end; the rest is the plain prediction given source and pose.
      guidance: gradient guidance.
    """

    steps: Natural = 50
    start: Annotated[float, Range(0, 1, open_low=True)] = 1.0
    temperature: Fraction = added(1.0)
    keep: Finite = added(0.0)
    palette: Fraction = added(0.0)
    head: Fraction = added(0.0)
    sampler: SamplerName = "ddim"
    times: TimeGrid = added("uniform")
    eta: Fraction = 0.0
    classifier_free: Literal["two-branch", "disentangled"] = "two-branch"
    source_weight: Finite = 2.0
    pose_weight: Finite = 2.0
    classifier_free_interval: tuple[Fraction, Fraction] = added((0.0, 1.0))
    guidance: GuidanceConfig = GuidanceConfig()

    def __post_init__(self):
        check_fields(self)
        check_interval("classifier-free-interval", self.classifier_free_interval)
        if self.temperature < 1 and self.start == 1:
            raise UserError("temperature", f"is {self.temperature}, and sampling begins with noise",
                            "give 1, or a start below 1")
        if self.eta and self.sampler in _SOLVERS:
            raise UserError("eta", f"is {self.eta}, and {self.sampler} adds no noise",
                            "give 0, or the sampler ddim")

    def check(self, model: ModelConfig) -> None:
        """Refuses settings that do not suit a model.

        Raises:
          UserError: names the setting.
        """
        paints = model.network.paints
        if self.start < 1 and not paints:
            raise UserError("start", f"is {self.start}, but the model paints no picture to refine",
                            "give 1")
        if self.keep and not paints:
            raise UserError("keep", f"is {self.keep}, but the model paints no picture to refine",
                            "give 0")
        if self.palette and not paints:
            raise UserError("palette", f"is {self.palette}, but the model paints no picture to refine",
                            "give 0")
        if self.head and not has_face(SKELETONS[model.network.skeleton]):
            raise UserError("head", f"is {self.head}, but the model's skeleton has no face", "give 0")
        least, most = int(not paints), model.schedule.up_to(self.start)
        if not least <= self.steps <= most:
            raise UserError("steps", f"is {self.steps}", f"give {least} to {most}")

    def coefficients(self) -> dict[Branch, float]:
        """Of the classifier-free guidance."""
        if self.classifier_free == "two-branch":
            return two_branch(self.source_weight)
        return disentangled(self.pose_weight, self.source_weight)

    def stepper(self) -> Sampler | Solver:
        """The sampler's step."""
        if self.sampler in _SOLVERS:
            return _SOLVERS[self.sampler]()
        return DDPM() if self.sampler == "ddpm" else DDIM(eta=self.eta)

    def evaluated(self, schedule: Schedule) -> Int[np.ndarray, "steps"]:
        """The time step of each evaluation of the denoiser, of which there is at least one."""
        stepper = self.stepper()
        places = stepper.places(self.steps) if isinstance(stepper, Solver) else (
            np.arange(self.steps))
        return time_grid(schedule, self.times, int(places[-1]) + 1, self.start)[places]

    def unweighted(self) -> SampleConfig:
        """The same without classifier-free guidance."""
        return dataclasses.replace(self, classifier_free="two-branch", source_weight=1.0)
