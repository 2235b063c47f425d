"""How pictures are sampled: what settings mean, and which are refused."""

from __future__ import annotations

import typing

import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.common.fields import identity
from repose_jax.diffusion.samplers import DDIM, DDPM
from repose_jax.diffusion.schedule import Schedule
from repose_jax.diffusion.solvers import DPMSolver, Heun, UniPC
from repose_jax.diffusion.time_grid import TimeGrid
from repose_jax.models.sample_config import GuidanceConfig, SampleConfig
from repose_jax.models.sample_overrides import GuidanceOptions

SHORT = Schedule(kind="cosine", steps=50)


class TestSampleConfig:
    def test_each_sampler_has_its_stepper(self):
        kinds = {"ddim": DDIM, "ddpm": DDPM, "dpm++2m": DPMSolver, "unipc": UniPC, "heun": Heun}
        for name, kind in kinds.items():
            assert type(SampleConfig(sampler=name).stepper()) is kind

    def test_steps_are_evaluations(self):
        for name in ("ddim", "dpm++2m", "unipc", "heun"):
            for grid in typing.get_args(TimeGrid):
                for steps in (1, 2, 5):
                    config = SampleConfig(steps=steps, sampler=name, times=grid)
                    assert config.evaluated(SHORT).shape == (steps,)
        heun = SampleConfig(steps=5, sampler="heun").evaluated(SHORT)
        np.testing.assert_array_equal(heun, SHORT.spaced(3)[[0, 1, 1, 2, 2]])

    def test_noise_without_a_sampler_that_adds_it_is_refused(self):
        with pytest.raises(UserError, match="unipc adds no noise"):
            SampleConfig(sampler="unipc", eta=0.5)
        with pytest.raises(UserError, match="classifier-free-interval: is 0.5 to 0.2"):
            SampleConfig(classifier_free_interval=(0.5, 0.2))

    def test_settings_that_older_files_lack_have_their_old_meaning(self):
        assert not {"times", "classifier_free_interval"} & set(identity(SampleConfig()))
        assert identity(SampleConfig(times="karras"))["times"] == "karras"

    def test_guidance_of_no_step_is_refused_and_not_forgotten(self):
        own = SampleConfig(steps=0, source_weight=1.0,
                           guidance=GuidanceConfig(pif=1.0, estimator="market1501"))
        for asked in (GuidanceOptions(), GuidanceOptions(pif=0.0), GuidanceOptions(strength=0.0)):
            assert asked.over(own).steps == 0
        with pytest.raises(UserError, match="guidance.target.*0 steps"):
            GuidanceOptions(target=2.0).over(own)
        merged = GuidanceOptions(target=2.0).over(own, steps=3)
        assert (merged.steps, merged.guidance.pif, merged.guidance.target) == (3, 1.0, 2.0)
