"""Samplers: with a perfect denoiser of Gaussian data the outcome is known in closed form."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from repose_jax.diffusion.guidance import classifier_free
from repose_jax.diffusion.posterior import posterior
from repose_jax.diffusion.prediction import Prediction, from_x0
from repose_jax.diffusion.samplers import DDIM, DDPM, Segment, initial_noise, sample
from repose_jax.diffusion.schedule import Schedule
from repose_jax.diffusion.solvers import DPMSolver, Heun, Solver, UniPC
from repose_jax.diffusion.time_grid import time_grid
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.sampling import generate

SHORT = Schedule(kind="cosine", steps=50)
LINEAR = Schedule()
MEAN, SPREAD = 0.3, 0.4


def normal(seed: int, *shape: int) -> jnp.ndarray:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def keys_of(count: int, seed: int = 0):
    return jax.random.split(jax.random.key(seed), count)


def oracle(schedule: Schedule, mean: float = MEAN, spread: float = SPREAD):
    """The perfect denoiser of pictures whose values are all N(mean, spread^2): E[x0 | y]."""

    def denoise(y, t) -> Prediction:
        abar = schedule.alpha_bar(t)
        gain = jnp.sqrt(abar) * spread**2 / (abar * spread**2 + 1 - abar)
        return from_x0(mean + gain * (y - jnp.sqrt(abar) * mean), y, abar)

    return denoise


@functools.partial(jax.jit, static_argnames=("schedule", "sampler", "cuts", "side", "clip"))
def run(schedule, sampler, keys, cuts=(50,), side=4, clip=False):
    """Samples with the oracle; `cuts` are lengths of the segments."""
    times = schedule.spaced(sum(cuts))
    segments, start = [], 0
    for count in cuts:
        segments.append(Segment(oracle(schedule), times[start:start + count]))
        start += count
    return sample(segments, schedule, sampler, keys, (side, side, 3), clip=clip)[0]


class TestSamplers:
    @pytest.mark.parametrize("sampler", [DDIM(), DDIM(eta=1.0), DDPM()], ids=str)
    def test_gaussian_data(self, sampler):
        """The reverse process ends in the data's distribution."""
        pictures = run(Schedule(kind="cosine"), sampler, keys_of(8), cuts=(200,), side=32)
        # 24576 values: standard error of the mean 0.0026, of the deviation 0.0018.
        assert pictures.mean() == pytest.approx(MEAN, abs=0.012)
        assert pictures.std() == pytest.approx(SPREAD, abs=0.015)
        assert scipy.stats.kurtosis(np.asarray(pictures).ravel()) == pytest.approx(0, abs=0.15)

    def test_ddim_is_the_exact_linear_map(self):
        """The probability flow of Gaussian data takes z to mean + spread * z."""
        schedule, keys = Schedule(kind="cosine"), keys_of(3)
        z = initial_noise(keys, (4, 4, 3))
        pictures = run(schedule, DDIM(), keys, cuts=(1000,))
        np.testing.assert_allclose(pictures, MEAN + SPREAD * z, atol=0.01)
        coarse = run(schedule, DDIM(), keys, cuts=(10,))
        errors = [jnp.abs(p - MEAN - SPREAD * z).max() for p in (coarse, pictures)]
        assert errors[1] < errors[0] / 20  # of first order in the step

    def test_deterministic_only_without_noise(self):
        """With eta = 0 the keys decide y_T alone; with eta = 1 all later noise too."""
        keys = keys_of(2)
        y = normal(8, 2, 4, 4, 3)
        t, to = jnp.array([30, 30]), jnp.array([20, 20])
        out = oracle(SHORT)(y, t)
        noises = normal(9, 2, 4, 4, 3), normal(10, 2, 4, 4, 3)
        for sampler, same in ((DDIM(), True), (DDIM(eta=1.0), False), (DDPM(), False)):
            a, b = (sampler.update(SHORT, out, y, t, to, noise) for noise in noises)
            assert (np.asarray(a) == np.asarray(b)).all() == same
        np.testing.assert_array_equal(run(SHORT, DDPM(), keys), run(SHORT, DDPM(), keys))
        assert not np.allclose(run(SHORT, DDPM(), keys), run(SHORT, DDPM(), keys_of(2, seed=1)))

    @pytest.mark.parametrize(("t", "to"), [(30, 29), (30, 12), (49, 0)])
    def test_ddim_with_eta_one_is_ddpm(self, t, to):
        """Song et al. 2021, section 4.2: also between steps that are not adjacent."""
        y, noise = normal(11, 1, 4, 4, 3), normal(12, 1, 4, 4, 3)
        t, to = jnp.array([t]), jnp.array([to])
        out = oracle(SHORT)(y, t)
        a, b = (s.update(SHORT, out, y, t, to, noise) for s in (DDIM(eta=1.0), DDPM()))
        np.testing.assert_allclose(a, b, atol=2e-4)

    @pytest.mark.parametrize("sampler", [DDIM(), DDIM(eta=1.0), DDPM()], ids=str)
    def test_last_step_returns_the_clean_picture(self, sampler):
        y, noise, t = normal(13, 2, 4, 4, 3), normal(14, 2, 4, 4, 3), jnp.array([49, 0])
        out = oracle(SHORT)(y, t)._replace(variance=jnp.ones_like(y))
        last = sampler.update(SHORT, out, y, t, jnp.array([-1, -1]), noise)
        np.testing.assert_allclose(last, out.x0, atol=1e-6)

    def test_posterior_is_the_paper(self):
        """Ho et al. 2020, equations 6 and 7, in float64."""
        betas = np.linspace(1e-4, 2e-2, 1000)
        abar = np.cumprod(1 - betas)
        x0, y = normal(15, 3, 2, 2, 3), normal(16, 3, 2, 2, 3)
        for t in (1, 400, 999):
            step = jnp.full(3, t)
            mean, low, high = posterior(LINEAR, x0, y, step, step - 1)
            expected = (np.sqrt(abar[t - 1]) * betas[t] / (1 - abar[t]) * np.asarray(x0)
                        + np.sqrt(1 - betas[t]) * (1 - abar[t - 1]) / (1 - abar[t]) * np.asarray(y))
            np.testing.assert_allclose(mean, expected, atol=5e-3 if t == 1 else 2e-4)
            variance = (1 - abar[t - 1]) / (1 - abar[t]) * betas[t]
            np.testing.assert_allclose(np.exp(low), variance, rtol=5e-3)
            np.testing.assert_allclose(np.exp(high), betas[t], rtol=5e-3)

    def test_learned_variance_lies_between_its_bounds_in_the_logarithm(self):
        y, noise = jnp.zeros((1, 2, 2, 3)), jnp.ones((1, 2, 2, 3))
        t, to = jnp.array([40]), jnp.array([10])
        out = oracle(SHORT)(y, t)
        mean, low, high = posterior(SHORT, out.x0, y, t, to)
        for share in (0.0, 0.3, 1.0):
            learned = out._replace(variance=jnp.full_like(y, share))
            moved = DDPM().update(SHORT, learned, y, t, to, noise)
            expected = np.exp(0.5 * (share * high + (1 - share) * low))
            np.testing.assert_allclose(moved - mean, expected * noise, rtol=1e-4)
        fixed = DDPM().update(SHORT, out, y, t, to, noise)
        np.testing.assert_allclose(fixed - mean, np.exp(0.5 * low) * noise, rtol=1e-4)

    @pytest.mark.parametrize("sampler", [DDIM(), DDPM()], ids=str)
    def test_a_picture_does_not_know_its_neighbours(self, sampler):
        keys = keys_of(4)
        together = run(SHORT, sampler, keys)
        np.testing.assert_array_equal(run(SHORT, sampler, keys[::-1])[::-1], together)
        np.testing.assert_allclose(run(SHORT, sampler, keys[1:2]), together[1:2], atol=1e-5)

    @pytest.mark.parametrize("sampler", [DDIM(), DDPM()], ids=str)
    def test_segments_are_one_schedule(self, sampler):
        """Up to the last bit, which the compiler may round otherwise in a scan of one step."""
        keys = keys_of(2)
        np.testing.assert_allclose(run(SHORT, sampler, keys, cuts=(20, 1, 29)),
                                   run(SHORT, sampler, keys), atol=1e-6)

    def test_each_segment_has_its_own_denoiser(self):
        times = SHORT.spaced(4)
        segments = [Segment(oracle(SHORT, 0.9, 1e-3), times[:3]),
                    Segment(oracle(SHORT, -0.5, 1e-3), times[3:])]
        y, kept = sample(segments, SHORT, DDIM(), keys_of(2), (4, 4, 3), trajectory=True)
        np.testing.assert_allclose(y, -0.5, atol=0.01)
        first, last = kept
        assert first.x0.shape == (3, 2, 4, 4, 3) and last.x0.shape == (1, 2, 4, 4, 3)
        np.testing.assert_allclose(first.x0, 0.9, atol=0.01)
        np.testing.assert_array_equal(np.concatenate([first.t, last.t])[:, 0], times)
        np.testing.assert_allclose(last.x0[-1], y, atol=1e-6)

    def test_trajectory_and_info_are_opt_in(self):
        def denoise(y, t):
            return oracle(SHORT)(y, t)._replace(info={"t": t * 2})

        segments = [Segment(denoise, SHORT.spaced(3))]
        _, kept = sample(segments, SHORT, DDIM(), keys_of(2), (4, 4, 3))
        assert kept == []
        _, kept = sample(segments, SHORT, DDIM(), keys_of(2), (4, 4, 3), trajectory=True)
        np.testing.assert_array_equal(kept[0].info["t"], 2 * kept[0].t)

    def test_clipping_keeps_the_learned_variance(self):
        def pictures(share):
            def denoise(y, t):
                return oracle(SHORT)(y, t)._replace(variance=jnp.full_like(y, share))

            return sample([Segment(denoise, SHORT.spaced(4))], SHORT, DDPM(), keys_of(1), (4, 4, 3))[0]

        assert jnp.abs(pictures(0.0) - pictures(1.0)).max() > 0.01

    def test_clipping(self):
        """A denoiser that overshoots is held at the edge, its noise made to agree."""
        seen = []

        def denoise(y, t):
            seen.append(y.shape)
            return from_x0(jnp.full_like(y, 3.0), y, SHORT.alpha_bar(t))

        segments = [Segment(denoise, SHORT.spaced(5))]
        clipped, kept = sample(segments, SHORT, DDIM(), keys_of(1), (4, 4, 3), trajectory=True)
        wild, _ = sample(segments, SHORT, DDIM(), keys_of(1), (4, 4, 3), clip=False)
        assert kept[0].x0.max() == 1
        np.testing.assert_allclose(clipped, 1)
        np.testing.assert_allclose(wild, 3, atol=1e-5)
        # Clipping in between also changes the way: y at the last step comes from x0 = 1.
        assert len(seen) == 2  # one trace each: the steps are scanned, not unrolled


SOLVERS = [DPMSolver(), UniPC(), Heun()]
GRIDS = ("uniform", "trailing", "log-snr", "karras")
FINE = Schedule(steps=100_000)


def planned(schedule, sampler, evaluations, grid="log-snr", start=1.0):
    """Time step of each evaluation."""
    places = (sampler.places(evaluations) if isinstance(sampler, Solver)
              else np.arange(evaluations))
    return time_grid(schedule, grid, int(places[-1]) + 1, start)[places]


@functools.partial(jax.jit, static_argnames=("schedule", "sampler", "times", "cuts", "clip"))
def solved(schedule, sampler, times, keys, cuts=(), clip=False):
    """Samples with the oracle; `cuts` are places at which a new segment begins."""
    segments = [Segment(oracle(schedule), part) for part in np.split(np.array(times), cuts)]
    return sample(segments, schedule, sampler, keys, (4, 4, 3), clip=clip)[0]


def true_end(schedule, times, keys):
    """The last evaluation's x0 where the probability flow is followed exactly, float64."""
    first, last = schedule.alpha_bars()[np.array([times[0], times[-1]])]
    y = np.asarray(initial_noise(keys, (4, 4, 3)), np.float64)
    z = (y - np.sqrt(first) * MEAN) / np.sqrt(first * SPREAD**2 + 1 - first)
    return MEAN + np.sqrt(last) * SPREAD**2 / np.sqrt(last * SPREAD**2 + 1 - last) * z


class TestSolvers:
    @pytest.mark.parametrize(("sampler", "order"), [
        (DDIM(), 1), (DPMSolver(), 2), (Heun(), 2), (UniPC(), 3)], ids=str)
    def test_order(self, sampler, order):
        """Slope of the error over the number of steps, both in logarithms, on Gaussian data."""
        keys, errors = keys_of(2), []
        for points in (33, 65):
            evaluations = 2 * points - 1 if isinstance(sampler, Heun) else points
            times = planned(FINE, sampler, evaluations)
            found = solved(FINE, sampler, tuple(times.tolist()), keys)
            errors.append(np.abs(found - true_end(FINE, times, keys)).max())
        assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)

    @pytest.mark.parametrize("sampler", SOLVERS, ids=str)
    def test_few_evaluations_beat_ddim(self, sampler):
        """Heun's method, which evaluates twice a step, needs more of them for that."""
        keys, (count, share) = keys_of(4), (17, 0.8) if isinstance(sampler, Heun) else (9, 0.25)

        def error(sampler):
            times = planned(LINEAR, sampler, count)
            found = solved(LINEAR, sampler, tuple(times.tolist()), keys)
            return np.sqrt(np.mean((found - true_end(LINEAR, times, keys)) ** 2))

        assert error(sampler) < share * error(DDIM())

    @pytest.mark.parametrize("grid", GRIDS)
    @pytest.mark.parametrize("sampler", SOLVERS, ids=str)
    @pytest.mark.parametrize("schedule", [SHORT, Schedule(kind="cosine"), LINEAR], ids=str)
    def test_a_constant_answer_comes_out(self, schedule, sampler, grid):
        """With x0 the same everywhere each y lies on the line of (1): a x0 + s e, e as it was."""
        x0, noise = 0.7, -1.3
        for count in (1, 2, 3, 4, 9):
            times = planned(schedule, sampler, count, grid)
            abar = schedule.alpha_bars()[times]
            y = np.sqrt(abar) * x0 + np.sqrt(1 - abar) * noise
            table, kept = sampler.table(schedule, times), 0.0
            for i in range(count):
                now, then = table[i] @ np.array([y[i], kept, x0, x0 * (i > 0), x0 * (i > 1)])
                at = min(i + 1, count - 1) if isinstance(sampler, Heun) and i % 2 else i
                assert now == pytest.approx(y[at], abs=1e-9)
                assert then == pytest.approx(y[i + 1] if i + 1 < count else x0, abs=1e-9)
                kept = now

    def test_heun_evaluates_each_point_but_the_first_twice(self):
        for count in range(1, 9):
            places = Heun().places(count)
            assert len(places) == count and places[0] == 0
            inner = np.bincount(places)[1:]
            assert (inner[:-1] == 2).all() and set(inner[-1:]) <= {1, 2}

    @pytest.mark.parametrize("sampler", SOLVERS, ids=str)
    def test_segments_are_one_schedule(self, sampler):
        """Memory goes over from one segment to the next."""
        keys, times = keys_of(2), tuple(planned(SHORT, sampler, 11).tolist())
        np.testing.assert_allclose(solved(SHORT, sampler, times, keys, cuts=(1, 4, 6)),
                                   solved(SHORT, sampler, times, keys), atol=2e-6)

    @pytest.mark.parametrize("sampler", SOLVERS, ids=str)
    def test_a_picture_does_not_know_its_neighbours(self, sampler):
        keys, times = keys_of(4), tuple(planned(SHORT, sampler, 7).tolist())
        together = solved(SHORT, sampler, times, keys)
        np.testing.assert_array_equal(solved(SHORT, sampler, times, keys[::-1])[::-1], together)

    def test_long_steps_do_not_overshoot(self):
        """The uniform grid's last step is long in l: uncapped, 2M misses by .16 here."""
        keys = keys_of(4)
        times = planned(Schedule(kind="cosine"), DPMSolver(), 8, "uniform")
        found = solved(Schedule(kind="cosine"), DPMSolver(), tuple(times.tolist()), keys)
        error = found - true_end(Schedule(kind="cosine"), times, keys)
        assert np.sqrt(np.mean(np.square(error))) < 0.06


class TestTimeGrid:
    @pytest.mark.parametrize("kind", GRIDS)
    @pytest.mark.parametrize("schedule", [SHORT, LINEAR, Schedule(kind="cosine")], ids=str)
    def test_strictly_decreasing_within_the_schedule(self, schedule, kind):
        for start in (1.0, 0.5):
            most = schedule.up_to(start)
            for count in {1, 2, 3, 7, most // 2, most - 1, most}:
                times = time_grid(schedule, kind, count, start)
                assert times.shape == (count,) and times[0] == most - 1
                assert (np.diff(times) < 0).all() and times[-1] >= 0
                assert times[-1] == 0 or kind == "trailing" or count == 1

    @pytest.mark.parametrize(("kind", "power"), [("log-snr", None), ("karras", 1 / 7)])
    def test_evenly_spaced_along_its_axis(self, kind, power):
        times = time_grid(FINE, kind, 9)
        abar = FINE.alpha_bars()[times]
        sigma = np.sqrt(1 / abar - 1)
        axis = np.log(sigma) if power is None else sigma**power
        np.testing.assert_allclose(np.diff(axis), np.diff(axis).mean(), rtol=0.02)

    def test_trailing_is_even_in_t(self):
        np.testing.assert_array_equal(time_grid(LINEAR, "trailing", 4), [999, 749, 499, 249])
        np.testing.assert_array_equal(time_grid(LINEAR, "uniform", 3), [999, 500, 0])

    @pytest.mark.parametrize("kind", GRIDS)
    def test_more_than_there_are_is_refused(self, kind):
        for count in (0, SHORT.up_to(0.5) + 1):
            with pytest.raises(ValueError, match="steps must be between"):
                time_grid(SHORT, kind, count, 0.5)


class TestLatents:
    """The sampler knows nothing of RGB: a toy of 8x8 cells with 4 channels, its answers known."""

    @dataclasses.dataclass(frozen=True)
    class Toy:
        """Its signal: means over 2x2 pixels and a constant; its guess: the source's, or grey."""

        bounded: bool = True
        schedule = SHORT

        def encode(self, params, pictures):
            cells = pictures.astype(jnp.float32).reshape(-1, 8, 2, 8, 2, 3).mean((2, 4))
            return jnp.pad(cells / 127.5 - 1, ((0, 0),) * 3 + ((0, 1),), constant_values=0.5)

        def pictures(self, params, signal):
            return signal[..., :3].repeat(2, 1).repeat(2, 2)

        def decode(self, params, signal):
            pixels = jnp.round((self.pictures(params, signal) + 1) * 127.5)
            return jnp.clip(pixels, 0, 255).astype(jnp.uint8)

        def guided_denoisers(self, params, source, source_pose, target_pose, *coefficients):
            def guided(weights):
                given = jnp.concatenate([
                    source * (branch in ("source", "both")) for branch in weights])

                def denoise(y, t):
                    assert y.shape[1:] == (8, 8, 4)
                    return from_x0(given * params["gain"], y, SHORT.alpha_bar(t))

                return classifier_free(denoise, tuple(weights.values()))

            return tuple(map(guided, coefficients)), source

    def paint(self, bounded=True, gain=1.0, **settings):
        source = np.random.default_rng(0).integers(64, 192, (3, 8, 8, 3), np.uint8)
        source = source.repeat(2, 1).repeat(2, 2)
        poses = np.zeros((3, 14, 3), np.float32)
        return source, generate(self.Toy(bounded), {"gain": jnp.float32(gain)}, source, poses, poses,
                                keys_of(3), SampleConfig(steps=4, **settings), trajectory=True)

    @pytest.mark.parametrize("bounded, most", [(True, 1.0), (False, 1.5)])
    def test_only_what_is_bounded_is_clipped(self, bounded, most):
        _, (_, (steps,)) = self.paint(bounded, gain=3.0, source_weight=1.0)
        np.testing.assert_allclose(steps.x0[..., 3], most, atol=1e-5)

    def test_the_guess_is_what_comes_out(self):
        source, (pictures, (steps,)) = self.paint(source_weight=1.0)
        np.testing.assert_array_equal(pictures, source)
        assert steps.x0.shape == (4, 3, 8, 8, 4)
        np.testing.assert_allclose(steps.x0[..., 3], 0.5, atol=1e-6)

    @pytest.mark.parametrize("sampler", ["dpm++2m", "unipc", "heun"])
    def test_solvers_end_in_the_guess_too(self, sampler):
        source, (pictures, (steps,)) = self.paint(
            source_weight=1.0, sampler=sampler, times="log-snr")
        np.testing.assert_array_equal(pictures, source)
        assert steps.x0.shape == (4, 3, 8, 8, 4)

    def test_outside_of_its_interval_the_weight_is_one(self):
        """Static segments: what is not weighted is the plain prediction, evaluated once."""
        source, (pictures, steps) = self.paint(
            source_weight=2.0, classifier_free_interval=(0.25, 0.75))
        np.testing.assert_array_equal(pictures, source)  # the last step decides, and is plain
        assert [len(part.t) for part in steps] == [1, 2, 1]
        plain, weighted = steps[0].x0[0, ..., :3], steps[1].x0[0, ..., :3]
        np.testing.assert_allclose(weighted, np.clip(2 * np.asarray(plain), -1, 1), atol=1e-5)
        np.testing.assert_allclose(steps[2].x0[0, ..., :3], plain, atol=1e-5)
        _, (_, (whole,)) = self.paint(
            source_weight=1.0, classifier_free_interval=(0.25, 0.75))
        assert len(whole.t) == 4  # nothing is weighted, so nothing is cut

    def test_guidance_is_of_the_signal(self):
        """Twice as far from the unconditional guess, which is grey."""
        source, (pictures, _) = self.paint(source_weight=2.0)
        expected = np.clip(2 * (source / 127.5 - 1), -1, 1)
        np.testing.assert_allclose(pictures / 127.5 - 1, expected, atol=0.01)

