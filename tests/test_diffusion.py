"""Schedule, prediction, guidance and losses, against closed forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from repose_jax.diffusion import losses, prediction
from repose_jax.diffusion.guidance import (
    classifier_free, disentangled, stack_branches, two_branch)
from repose_jax.diffusion.prediction import (
    SIGMA_DATA, Prediction, from_epsilon, from_x0, precondition)
from repose_jax.diffusion.schedule import Schedule

# One compilation each instead of one for every operation.
interpret = jax.jit(prediction.interpret, static_argnums=0)
denoising_loss = jax.jit(losses.denoising_loss, static_argnums=(0, 5))
variational_loss = jax.jit(losses.variational_loss, static_argnums=0)

KINDS = ("epsilon", "v", "x0", "preconditioned")
SHORT = Schedule(kind="cosine", steps=50)
LINEAR = Schedule()


def normal(seed: int, *shape: int) -> jnp.ndarray:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


class TestSchedule:
    def test_linear_is_the_paper(self):
        """Ho et al. 2020: beta_1 = 1e-4 .. beta_1000 = 0.02."""
        betas = 1e-4 + (2e-2 - 1e-4) * np.arange(1000) / 999
        table = LINEAR.alpha_bars()
        np.testing.assert_allclose(table, np.exp(np.cumsum(np.log(1 - betas))), rtol=1e-10)
        assert table[-1] == pytest.approx(4.04e-5, rel=1e-2)

    def test_linear_keeps_its_end_for_any_number_of_steps(self):
        few = np.log(Schedule(steps=250).alpha_bars()[50:])
        np.testing.assert_allclose(few, np.log(LINEAR.alpha_bars()[203::4]), rtol=0.03)

    def test_cosine_is_the_paper(self):
        """Nichol & Dhariwal 2021, equation 17, s = 0.008, before the last, clipped steps."""
        t = np.arange(1, 1001)
        f = np.cos((t / 1000 + .008) / 1.008 * np.pi / 2) ** 2 / np.cos(.008 / 1.008 * np.pi / 2)**2
        table = Schedule(kind="cosine").alpha_bars()
        np.testing.assert_allclose(table[:-1], f[:-1], rtol=1e-6)
        assert table[-1] == pytest.approx(table[-2] * 1e-3)  # beta is at most 0.999

    @pytest.mark.parametrize("kind", ["linear", "cosine"])
    def test_decreasing_and_lookup(self, kind):
        schedule = Schedule(kind=kind)
        table = schedule.alpha_bars()
        assert (np.diff(table) < 0).all() and table[0] < 1 and table[-1] > 0
        abar = schedule.alpha_bar(jnp.array([-1, 0, 999]))
        assert abar.shape == (3, 1, 1, 1)
        np.testing.assert_allclose(abar.ravel(), [1, table[0], table[-1]], rtol=1e-6)

    def test_noised(self):
        y0, noise, t = normal(0, 2, 4, 4, 3), normal(1, 2, 4, 4, 3), jnp.array([10, 900])
        y = LINEAR.noised(y0, noise, t)
        for i, step in enumerate([10, 900]):
            a = LINEAR.alpha_bars()[step]
            np.testing.assert_allclose(y[i], np.sqrt(a) * y0[i] + np.sqrt(1 - a) * noise[i],
                                       rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("count", [1, 2, 7, 50, 333, 999, 1000])
    def test_spaced(self, count):
        times = LINEAR.spaced(count)
        assert len(times) == count and times[0] == 999
        assert (np.diff(times) < 0).all()
        if count > 1:
            assert times[-1] == 0
            assert np.diff(times).min() - np.diff(times).max() >= -1  # even, up to rounding

    @pytest.mark.parametrize("count", [0, -1, 1001])
    def test_spaced_refuses(self, count):
        with pytest.raises(ValueError, match="between 1 and 1000"):
            LINEAR.spaced(count)


def signal_of(kind: str, y0, noise, abar):
    """What a perfect network of this kind would output, from the definitions."""
    y = jnp.sqrt(abar) * y0 + jnp.sqrt(1 - abar) * noise
    c_skip, c_out, _ = precondition(abar)
    return {"epsilon": noise, "v": jnp.sqrt(abar) * noise - jnp.sqrt(1 - abar) * y0, "x0": y0,
            "preconditioned": (y0 - c_skip * y) / c_out}[kind]


class TestPrediction:
    y0, noise = normal(2, 3, 4, 4, 3), normal(3, 3, 4, 4, 3)
    abar = jnp.array([0.98, 0.5, 0.02])[:, None, None, None]
    y = jnp.sqrt(abar) * y0 + jnp.sqrt(1 - abar) * noise

    @pytest.mark.parametrize("kind", KINDS)
    def test_perfect_output_is_understood(self, kind):
        perfect = signal_of(kind, self.y0, self.noise, self.abar)
        out = interpret(kind, perfect, self.y, self.abar)
        np.testing.assert_allclose(out.x0, self.y0, atol=2e-5)
        np.testing.assert_allclose(out.epsilon, self.noise, atol=2e-5)

    @pytest.mark.parametrize("kind", KINDS)
    def test_picture_and_noise_always_make_up_the_input(self, kind):
        out = interpret(kind, normal(4, 3, 4, 4, 3), self.y, self.abar)
        y = jnp.sqrt(self.abar) * out.x0 + jnp.sqrt(1 - self.abar) * out.epsilon
        np.testing.assert_allclose(y, self.y, atol=2e-5)

    def test_round_trip(self):
        there = from_x0(self.y0, self.y, self.abar)
        back = from_epsilon(there.epsilon, self.y, self.abar)
        np.testing.assert_allclose(back.x0, self.y0, atol=3e-5)

    def test_edm(self):
        """Karras et al. 2022, table 1, with their sigma = s / a and input y / a."""
        sigma = jnp.sqrt(1 - self.abar) / jnp.sqrt(self.abar)
        d = SIGMA_DATA
        c_skip, c_out, _ = precondition(self.abar)
        np.testing.assert_allclose(c_skip / jnp.sqrt(self.abar) * self.abar,
                                   d**2 / (sigma**2 + d**2), rtol=1e-5)
        np.testing.assert_allclose(c_out, sigma * d / jnp.sqrt(sigma**2 + d**2), rtol=1e-5)

    def test_c_skip_is_the_best_linear_guess_and_c_out_its_error(self):
        """For x0 of standard deviation d: c_skip = E[x0 y] / E[y^2], c_out^2 = E[error^2]."""
        rng = np.random.default_rng(5)
        x0, e = SIGMA_DATA * rng.normal(size=200_000), rng.normal(size=200_000)
        for abar in (0.9, 0.3):
            y = np.sqrt(abar) * x0 + np.sqrt(1 - abar) * e
            c_skip, c_out, w = (float(c.squeeze()) for c in precondition(
                jnp.full((1, 1, 1, 1), abar)))
            assert c_skip == pytest.approx((x0 * y).mean() / (y**2).mean(), rel=0.02)
            assert c_out**2 == pytest.approx(((x0 - c_skip * y) ** 2).mean(), rel=0.02)
            assert w == pytest.approx((1 - abar) / (y**2).mean(), rel=0.02)

    @pytest.mark.parametrize("kind", ["x0", "preconditioned"])
    def test_copy_path_between_its_limits(self, kind):
        signal, copied = normal(6, 3, 4, 4, 3), normal(7, 3, 4, 4, 3)
        ends = jnp.array([1e-9, 0.5, 1 - 1e-6])[:, None, None, None]
        mask = jnp.ones((3, 4, 4, 1))
        plain = interpret(kind, signal, self.y, ends)
        full = interpret(kind, signal, self.y, ends, copied=copied, copy_mask=mask)
        none = interpret(kind, signal, self.y, ends, copied=copied, copy_mask=0 * mask)
        half = interpret(kind, signal, self.y, ends, copied=copied, copy_mask=mask / 2)
        np.testing.assert_array_equal(none.x0, plain.x0)
        np.testing.assert_allclose(full.x0[0], copied[0], atol=1e-5)  # only noise: the copy
        np.testing.assert_allclose(full.x0[2], plain.x0[2], atol=1e-4)  # no noise: no copy
        w = 0.5 / (0.5 * SIGMA_DATA**2 + 0.5)
        np.testing.assert_allclose(
            half.x0[1], w / 2 * copied[1] + (1 - w / 2) * plain.x0[1], atol=1e-5)

    @pytest.mark.parametrize("kind", ["epsilon", "v"])
    def test_copy_path_refuses(self, kind):
        with pytest.raises(ValueError, match="copy path"):
            interpret(kind, self.y, self.y, self.abar, copied=self.y,
                      copy_mask=jnp.ones((3, 4, 4, 1)))

    def test_variance_from_minus_one_one_to_zero_one(self):
        raw = jnp.broadcast_to(jnp.array([-1.0, 0.0, 1.0])[:, None, None, None], self.y.shape)
        for kind in KINDS:
            variance = interpret(kind, self.y, self.y, self.abar, variance=raw).variance
            np.testing.assert_allclose(variance[:, 0, 0, 0], [0, .5, 1])
        assert interpret("v", self.y, self.y, self.abar).variance is None


class TestGuidance:
    y, t = normal(17, 2, 4, 4, 3), jnp.array([10, 30])

    def conditional(self, shift):
        """A denoiser that knows a condition of its own for each picture."""

        def denoise(y, t) -> Prediction:
            return from_x0(0.5 * y + shift[:, None, None, None], y, SHORT.alpha_bar(t),
                           variance=jnp.zeros_like(y) + shift[:, None, None, None])

        return denoise

    def test_coefficients(self):
        assert two_branch(1.0) == {"both": 1.0}
        assert two_branch(2.0) == {"pose": -1.0, "both": 2.0}
        assert disentangled(2.0, 3.0) == {"none": -4.0, "pose": 2.0, "source": 3.0}
        for coefficients in (two_branch(2.5), disentangled(1.5, 0.5), disentangled(0, 0)):
            assert sum(coefficients.values()) == pytest.approx(1)

    def test_weight_one_is_the_condition_alone(self):
        shift = jnp.array([0.1, 0.2])
        plain = self.conditional(shift)
        guided = classifier_free(plain, tuple(two_branch(1.0).values()))
        for a, b in zip(guided(self.y, self.t)[:3], plain(self.y, self.t)[:3], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)

    @pytest.mark.parametrize("coefficients", [(-1.0, 2.0), (-3.0, 2.0, 2.0), (0.25, 0.75)])
    def test_batched_is_branch_by_branch(self, coefficients):
        shifts = [jnp.array([0.1 * i, 0.3 - 0.2 * i]) for i in range(len(coefficients))]
        guided = classifier_free(self.conditional(stack_branches(*shifts)), coefficients)(
            self.y, self.t)
        parts = [self.conditional(shift)(self.y, self.t) for shift in shifts]
        for name in ("x0", "epsilon"):
            expected = sum(c * getattr(p, name) for c, p in zip(coefficients, parts, strict=True))
            np.testing.assert_allclose(getattr(guided, name), expected, atol=1e-4)
        np.testing.assert_array_equal(guided.variance, parts[-1].variance)
        abar = SHORT.alpha_bar(self.t)
        np.testing.assert_allclose(
            jnp.sqrt(abar) * guided.x0 + jnp.sqrt(1 - abar) * guided.epsilon, self.y, atol=1e-4)

    def test_two_branch_extrapolates_from_the_pose(self):
        """e(pose) + w (e(pose, source) - e(pose))"""
        pose, both, w = jnp.array([0.1, 0.0]), jnp.array([0.4, -0.2]), 2.0
        coefficients = two_branch(w)
        assert tuple(coefficients) == ("pose", "both")
        guided = classifier_free(self.conditional(stack_branches(pose, both)),
                                 tuple(coefficients.values()))(self.y, self.t)
        e_pose, e_both = (self.conditional(s)(self.y, self.t).epsilon for s in (pose, both))
        np.testing.assert_allclose(guided.epsilon, e_pose + w * (e_both - e_pose), atol=1e-4)

    def test_refuses_coefficients_that_move_what_all_agree_on(self):
        with pytest.raises(ValueError, match="sum to 1"):
            classifier_free(self.conditional(jnp.zeros(4)), (1.0, 1.0))

    def test_stack_branches_of_trees(self):
        tree = {"a": jnp.ones((2, 3)), "b": (jnp.zeros(2),)}
        stacked = stack_branches(tree, jax.tree.map(lambda x: x + 5, tree))
        assert stacked["a"].shape == (4, 3)
        np.testing.assert_array_equal(stacked["b"][0], [0, 0, 5, 5])


class TestDenoisingLoss:
    y0, noise = normal(18, 3, 4, 4, 3), normal(19, 3, 4, 4, 3)
    abar = jnp.array([0.98, 0.5, 0.02])[:, None, None, None]
    y = jnp.sqrt(abar) * y0 + jnp.sqrt(1 - abar) * noise

    def loss_and_signal(self, kind, error):
        target = signal_of(kind, self.y0, self.noise, self.abar)
        out = interpret(kind, target + error, self.y, self.abar)
        return denoising_loss(kind, out, self.y0, self.noise, self.abar)

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("most", [1.0, 5.0])
    def test_min_snr_weighs_the_pictures_error_alike_whatever_is_predicted(self, kind, most):
        """Hang et al. 2023: min(SNR, gamma) times the squared error of the clean picture."""
        guess = self.y0 + normal(22, 3, 4, 4, 3)
        abar = np.asarray(self.abar)
        y = np.sqrt(abar) * self.y0 + np.sqrt(1 - abar) * self.noise
        out = Prediction(guess, (y - np.sqrt(abar) * guess) / np.sqrt(1 - abar))
        found = denoising_loss(kind, out, self.y0, self.noise, self.abar, most)
        weight = np.minimum(abar / (1 - abar), most)[:, 0, 0, 0]
        assert (weight == most).any() and (weight < most).any()
        np.testing.assert_allclose(
            found, weight * np.mean((guess - self.y0) ** 2, (1, 2, 3)), rtol=1e-3)

    @pytest.mark.parametrize("kind", KINDS)
    def test_perfect_is_zero(self, kind):
        loss = self.loss_and_signal(kind, 0.0)
        assert loss.shape == (3,)
        np.testing.assert_allclose(loss, 0, atol=1e-7)

    @pytest.mark.parametrize("kind", ["epsilon", "v", "preconditioned"])
    def test_is_the_squared_error_of_the_output(self, kind):
        error = normal(20, 3, 4, 4, 3)
        np.testing.assert_allclose(self.loss_and_signal(kind, error),
                                   jnp.mean(error**2, (1, 2, 3)), rtol=1e-4)

    def test_x0_is_weighted_as_preconditioned_up_to_five_times(self):
        error = normal(21, 3, 4, 4, 3)
        d, s = SIGMA_DATA, np.sqrt(1 - np.array([0.98, 0.5, 0.02]))
        c_out2 = s**2 * d**2 / ((1 - s**2) * d**2 + s**2)
        weight = 1 / np.maximum(c_out2, d**2 / 5)
        assert weight[0] == pytest.approx(5 / d**2) and weight[1] < 0.9 * weight[0]
        np.testing.assert_allclose(self.loss_and_signal("x0", error),
                                   weight * np.mean(np.asarray(error) ** 2, (1, 2, 3)), rtol=1e-4)


def kl_bits(mean_a, variance_a, mean_b, variance_b):
    """Kullback-Leibler divergence of two Gaussians in bits."""
    return 0.5 * (np.log(variance_b / variance_a) + (variance_a + (mean_a - mean_b) ** 2)
                  / variance_b - 1) / np.log(2)


class TestVariationalLoss:
    y0 = jnp.clip(normal(22, 2, 4, 4, 3) * 0.3, -0.99, 0.99)
    y = normal(23, 2, 4, 4, 3)
    x0 = normal(24, 2, 4, 4, 3) * 0.3

    def prediction(self, t, share):
        variance = jnp.zeros_like(self.y) + share
        return from_x0(self.x0, self.y, LINEAR.alpha_bar(t), variance)

    @pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
    def test_divergence_in_closed_form(self, share):
        t = jnp.array([5, 700])
        loss = variational_loss(LINEAR, self.prediction(t, share), self.y0, self.y, t)
        betas = np.linspace(1e-4, 2e-2, 1000)
        abar = np.cumprod(1 - betas)
        for i, step in enumerate([5, 700]):
            beta, now, then = betas[step], abar[step], abar[step - 1]
            scale = np.sqrt(then) * beta / (1 - now)
            means = [scale * np.asarray(x[i], np.float64) for x in (self.y0, self.x0)]
            true = beta * (1 - then) / (1 - now)
            variance = beta**share * true ** (1 - share)
            expected = kl_bits(means[0], true, means[1], variance).mean()
            assert loss[i] == pytest.approx(expected, rel=5e-3)

    def test_first_step_is_the_likelihood_of_8_bit_values(self):
        """At t = 0: the probability of the bin of width 2/255 under the predicted Gaussian."""
        levels = jnp.array([0, 3, 128, 255]) / 127.5 - 1
        y0 = jnp.broadcast_to(levels[None, :, None, None], (1, 4, 2, 3))
        x0 = y0 + jnp.array([0.004, -0.004, 0.002])
        t = jnp.array([0])
        out = from_x0(x0, y0, LINEAR.alpha_bar(t), jnp.full_like(y0, 1.0))
        loss = variational_loss(LINEAR, out, y0, y0, t)
        scale = np.sqrt(1e-4)  # beta_1
        v, m = np.asarray(y0, np.float64), np.asarray(x0, np.float64)
        upper = np.where(v > .999, 1, scipy.stats.norm.cdf((v + 1 / 255 - m) / scale))
        lower = np.where(v < -.999, 0, scipy.stats.norm.cdf((v - 1 / 255 - m) / scale))
        assert loss[0] == pytest.approx(-np.log2(upper - lower).mean(), rel=0.01)

    def test_first_step_without_extra_variance_takes_that_of_the_second(self):
        t = jnp.array([0, 0])
        losses = [variational_loss(LINEAR, self.prediction(t, share)._replace(x0=self.y0),
                                   self.y0, self.y, t) for share in (0.0, 1.0)]
        betas = np.linspace(1e-4, 2e-2, 1000)
        abar = np.cumprod(1 - betas)
        for loss, variance in zip(losses, (betas[1] * (1 - abar[0]) / (1 - abar[1]), betas[0])):
            bin_ = 2 * scipy.stats.norm.cdf(1 / 255 / np.sqrt(variance)) - 1
            np.testing.assert_allclose(loss, -np.log2(bin_), rtol=0.02)

    @pytest.mark.parametrize("t", [0, 1, 999])
    def test_only_the_variance_learns(self, t):
        t = jnp.array([t, t])
        abar = LINEAR.alpha_bar(t)

        def loss(x0, share):
            return variational_loss(LINEAR, from_x0(x0, self.y, abar, share), self.y0, self.y,
                                    t).sum()

        by_mean, by_variance = jax.jit(jax.grad(loss, (0, 1)))(
            self.x0, jnp.full_like(self.x0, 0.5))
        assert not by_mean.any()
        assert np.isfinite(by_variance).all() and by_variance.any()

    def test_needs_a_variance(self):
        t = jnp.array([3, 3])
        with pytest.raises(ValueError, match="learned variance"):
            variational_loss(LINEAR, self.prediction(t, 0.0)._replace(variance=None), self.y0,
                             self.y, t)
