"""Watching a picture come about: every step is told, it stops in the middle, it stays the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repose_jax.diffusion.prediction import from_x0
from repose_jax.diffusion.samplers import DDIM, DDPM, Segment, sample
from repose_jax.diffusion.schedule import Schedule
from repose_jax.diffusion.solvers import DPMSolver
from repose_jax.models import sampling
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.weights import load_model

SCHEDULE = Schedule(kind="cosine", steps=50)


def denoise(y, t):
    """Foretells the time itself, so that every step's prediction is known."""
    return from_x0(jnp.zeros_like(y) + t[0] / 100, y, SCHEDULE.alpha_bar(t))


def watched(stop_after, sampler=DDIM()):
    """Both halves of a schedule of 10 steps; stops after so many."""
    times, told = SCHEDULE.spaced(10), []

    def watch(step, x0):
        jax.debug.callback(lambda step, x0: told.append((int(step), float(x0))), step, x0.mean(),
                           ordered=True)
        return step < stop_after

    keys = jax.random.split(jax.random.key(0), 2)
    pictures, _ = jax.jit(lambda keys: sample(
        [Segment(denoise, times[:4]), Segment(denoise, times[4:])], SCHEDULE, sampler, keys, (4, 4, 3),
        watch=watch))(keys)
    jax.effects_barrier()
    plain, _ = sample([Segment(denoise, times)], SCHEDULE, sampler, keys, (4, 4, 3))
    return told, times, np.asarray(pictures), np.asarray(plain)


@pytest.mark.parametrize("sampler", [DDIM(), DDPM(), DPMSolver()], ids=str)
def test_every_step_is_told_in_order_and_changes_nothing(sampler):
    told, times, pictures, plain = watched(99, sampler)
    assert [step for step, _ in told] == list(range(1, 11))
    assert [x0 for _, x0 in told] == pytest.approx([t / 100 for t in times])
    np.testing.assert_allclose(pictures, plain, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 3, 4, 7])
def test_once_stopped_no_step_is_done(steps):
    """In either segment, and at their border."""
    told, _, pictures, plain = watched(steps)
    assert [step for step, _ in told] == list(range(1, steps + 1))
    assert np.abs(pictures - plain).max() > 0.01


@pytest.fixture(scope="module")
def paint(market_model):
    loaded = load_model(str(market_model))
    height, width = loaded.model.config.network.image_size
    rng = np.random.default_rng(0)
    source = rng.integers(0, 256, (1, height, width, 3), np.uint8)
    pose = np.ones((1, 14, 3), np.float32)
    pose[..., :2] = rng.uniform(0, width, (1, 14, 2))
    config = SampleConfig(steps=5)

    def run(watch=None, seed=0):
        return np.asarray(sampling.generate(
            loaded.model, loaded.params, source, pose, pose, jax.random.key(seed)[None], config,
            watch=watch)[0])
    return run


def test_the_watched_picture_is_the_picture(paint):
    told = []
    picture = paint(lambda step, pictures: told.append((step, pictures)) or True)
    assert [step for step, _ in told] == [1, 2, 3, 4, 5]
    assert all(p.shape == picture.shape and p.dtype == np.uint8 for _, p in told)
    # Another program may round otherwise, by a level.
    assert np.abs(picture.astype(int) - paint()).max() <= 1
    assert np.abs(told[-1][1].astype(int) - picture).max() <= 1, "the last prediction is the picture"


def test_who_watches_may_stop_fail_and_differ(paint):
    seen = {"first": [], "second": []}
    paint(lambda step, pictures: seen["first"].append(step) or step < 2)
    programs = sampling._generate._cache_size()
    paint(lambda step, pictures: seen["second"].append(step) or True)
    assert seen == {"first": [1, 2], "second": [1, 2, 3, 4, 5]}
    with pytest.raises(ZeroDivisionError):
        paint(lambda step, pictures: 1 / 0)
    assert sampling._generate._cache_size() == programs, "each watcher compiled anew"
