"""Gradient guidance: closed forms on a Gaussian, and the whole of it with tiny networks."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.diffusion.guidance import gradient_guided
from repose_jax.diffusion.prediction import from_x0
from repose_jax.diffusion.schedule import Schedule
from repose_jax.experiments.bench.operations import operations
from repose_jax.models.model_config import ModelConfig
from repose_jax.models.pose_energy import Guide
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import GuidanceConfig, SampleConfig
from repose_jax.models.sampling import generate
from repose_jax.networks.network import NetworkConfig
from repose_jax.networks.pif import FieldConfig, fresh_field
from repose_jax.networks.pose_estimator import EstimatorConfig, PoseEstimate, fresh_estimator
from repose_jax.networks.rpa import RPAConfig
from repose_jax.networks.unet import UNetConfig

SCHEDULE = Schedule(kind="cosine", steps=40)
GOAL, GAIN = 0.7, 0.6
Y = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 2, 3)), jnp.float32)
T = jnp.array([5, 20, 35])


def denoiser(y, t):
    """x0_hat = GAIN y, so that a gradient through it is GAIN times that at x0_hat."""
    return from_x0(GAIN * y, y, SCHEDULE.alpha_bar(t))


def energy(x0, t):
    """Half the squared distance to a picture of GOAL; gradient x0 - GOAL, energy known."""
    value = 0.5 * jnp.sum((x0 - GOAL) ** 2, axis=(1, 2, 3))
    return value, {"distance": jnp.sqrt(2 * value)}


def guided(strength=1.0, **options):
    return gradient_guided(denoiser, energy, SCHEDULE, lambda t: jnp.full(t.shape, strength),
                           **options)


class TestClosedForms:
    def test_plain_gradient(self):
        out = guided(0.25, normalize="none")(Y, T)
        np.testing.assert_allclose(out.x0, GAIN * Y - 0.25 * (GAIN * Y - GOAL), atol=1e-5)

    def test_through_the_denoiser_its_jacobian_comes_in(self):
        out = guided(0.25, normalize="none", through="denoiser")(Y, T)
        np.testing.assert_allclose(out.x0, GAIN * Y - 0.25 * GAIN * (GAIN * Y - GOAL), atol=1e-5)

    def test_unit_steps_have_the_length_asked_for(self):
        out = guided(0.05, normalize="unit")(Y, T)
        np.testing.assert_allclose(jnp.sqrt(jnp.mean((out.x0 - GAIN * Y) ** 2, (1, 2, 3))), 0.05,
                                   rtol=1e-4)

    def test_polyak_steps_remove_the_share_asked_for(self):
        """Half a square falls by s to first order, by s - s^2/4 in truth; at s = 2 it is 0."""
        before = energy(GAIN * Y, T)[0]
        for share in (0.01, 0.5):
            after = energy(guided(share, normalize="polyak")(Y, T).x0, T)[0]
            np.testing.assert_allclose(1 - after / before, share - share**2 / 4, atol=1e-4)
        np.testing.assert_allclose(guided(2.0, normalize="polyak")(Y, T).x0, GOAL, atol=1e-5)

    def test_clip_bounds_a_step_and_leaves_smaller_ones(self):
        far = guided(1.0, normalize="none", clip=0.1)(Y, T)
        np.testing.assert_allclose(far.info["shift"], 0.1, rtol=1e-4)
        near = [guided(1e-3, normalize="none", clip=c)(Y, T).x0 for c in (0.1, None)]
        np.testing.assert_allclose(*near, atol=1e-7)

    @pytest.mark.parametrize("through", ["x0", "denoiser"])
    @pytest.mark.parametrize("normalize", ["none", "unit", "polyak"])
    def test_energy_falls(self, through, normalize):
        before = energy(GAIN * Y, T)[0]
        out = guided(0.02, through=through, normalize=normalize)(Y, T)
        assert (energy(out.x0, T)[0] < before).all()
        np.testing.assert_allclose(out.info["energy"], before, rtol=1e-5)

    def test_noise_stays_consistent(self):
        out = guided(0.3)(Y, T)
        abar = SCHEDULE.alpha_bar(T)
        np.testing.assert_allclose(
            jnp.sqrt(abar) * out.x0 + jnp.sqrt(1 - abar) * out.epsilon, Y, atol=1e-4)

    def test_at_the_goal_nothing_moves_and_nothing_breaks(self):
        still = jnp.full_like(Y, GOAL / GAIN)
        for normalize in ("none", "unit", "polyak"):
            out = guided(1.0, normalize=normalize)(still, T)
            np.testing.assert_allclose(out.x0, GOAL, atol=1e-5)

    def test_neighbours_do_not_matter(self):
        alone = guided(0.5)(Y[1:2], T[1:2]).x0
        np.testing.assert_allclose(guided(0.5)(Y, T).x0[1:2], alone, atol=1e-6)

    def test_guidances_nest(self):
        twice = gradient_guided(guided(0.25, normalize="none"), energy, SCHEDULE,
                                lambda t: jnp.full(t.shape, 0.25), normalize="none")
        np.testing.assert_allclose(twice(Y, T).x0, GOAL + (GAIN * Y - GOAL) * 0.75**2, atol=1e-5)


SIZE = (16, 8)
MODEL = RePoseModel(ModelConfig(
    network=NetworkConfig(
        image_size=SIZE, skeleton="market14",
        unet=UNetConfig(channels=(4, 8), blocks=1, attention=(1,), patch=2, refine=3, groups=2,
                        dropout=0.0, resample_blocks=False),
        rpa=RPAConfig(iterations=0)),
    schedule=Schedule(kind="cosine", steps=40), prediction="x0"))
ESTIMATOR = EstimatorConfig(image_size=SIZE, channels=(8,), patch=2, groups=2)
FIELD = FieldConfig(features=4, width=8, depth=1)


def random_like(init, seed: int, scale: float = 0.3):
    shapes = jax.eval_shape(init, jax.random.key(0))
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(scale * rng.normal(size=x.shape), x.dtype), shapes)


@functools.cache
def inputs():
    rng = np.random.default_rng(1)

    def pose():
        xy = rng.uniform(1, [SIZE[1] - 2, SIZE[0] - 2], (3, 14, 2))
        return np.concatenate([xy, np.ones((3, 14, 1))], -1).astype(np.float32)

    params = random_like(MODEL.init, 2)
    guide = Guide(random_like(fresh_estimator(ESTIMATOR), 3), random_like(fresh_field(FIELD), 4),
                  ESTIMATOR, FIELD)
    source = rng.integers(0, 255, (3, *SIZE, 3), dtype=np.uint8)
    return params, guide, source, pose(), pose(), jax.random.split(jax.random.key(0), 3)


def paint(guidance: GuidanceConfig, rows=slice(None), trajectory=False, **sample):
    params, guide, source, source_pose, target_pose, keys = inputs()
    config = SampleConfig(steps=5, source_weight=1.5, guidance=guidance, **sample)
    return generate(MODEL, params, source[rows], source_pose[rows], target_pose[rows], keys[rows],
                    config, trajectory, guide)


class TestGenerate:
    def test_weight_0_is_unguided_to_the_bit(self):
        plain, _ = paint(GuidanceConfig())
        for off in ({"strength": 0.0, "target": 1.0}, {"pif": 0.0, "target": 0.0},
                    {"target": 1.0, "interval": (0.95, 1.0)}):
            np.testing.assert_array_equal(paint(GuidanceConfig(**off))[0], plain)

    def test_weight_0_compiles_to_the_same_program(self):
        """No trace of estimator or field in what is compiled."""
        configs = [SampleConfig(guidance=GuidanceConfig(**kw)) for kw in (
            {}, {"target": 0.0, "interval": (0.2, 0.8), "through": "denoiser"},
            {"pif": 3.0, "strength": 0.0})]
        assert len({c.guidance.structure() for c in configs}) == 1

    def test_unguided_steps_are_the_unguided_sampler(self):
        """Until the interval begins, both are one trajectory."""
        _, plain = paint(GuidanceConfig(), trajectory=True)
        _, late = paint(GuidanceConfig(target=1.0, interval=(0.6, 1.0), normalize="unit",
                                       strength=0.1), trajectory=True)
        assert [len(s.t) for s in late] == [3, 2]
        np.testing.assert_array_equal(late[0].x0, plain[0].x0[:3])
        assert float(jnp.abs(late[1].x0 - plain[0].x0[3:]).max()) > 1e-3
        assert "energy" in late[1].info and "energy" not in late[0].info

    @pytest.mark.parametrize("through", ["x0", "denoiser"])
    def test_unguided_steps_cost_nothing_for_it(self, through):
        def count(**guidance):
            return operations(lambda: paint(GuidanceConfig(through=through, **guidance))[0])

        plain, whole = count(), count(target=1.0)
        assert whole > plain
        assert 5 * (count(target=1.0, interval=(0.6, 1.0)) - plain) == 2 * (whole - plain)
        assert count(target=1.0, interval=(0.95, 1.0)) == plain

    @pytest.mark.parametrize("through, weights", [
        ("x0", {"pif": 1.0}), ("denoiser", {"target": 1.0}),
        pytest.param("x0", {"target": 1.0}, marks=pytest.mark.slow),
        pytest.param("denoiser", {"pif": 1.0}, marks=pytest.mark.slow)])
    def test_energy_is_lower_where_it_guides(self, through, weights):
        guidance = GuidanceConfig(**weights, strength=0.3, through=through)
        _, steps = paint(guidance, trajectory=True)
        _, weak = paint(dataclasses.replace(guidance, strength=1e-6), trajectory=True)
        assert float(steps[0].info["energy"][-1].mean()) < float(weak[0].info["energy"][-1].mean())
        assert set(weights) <= {"pif", "target"} and ("field" in steps[0].info) == (
            "pif" in weights)

    @pytest.mark.slow
    def test_pictures_do_not_see_their_neighbours(self):
        guidance = GuidanceConfig(pif=1.0, target=1.0, strength=0.5)
        together, alone = paint(guidance)[0], paint(guidance, rows=slice(1, 2))[0]
        assert np.abs(np.asarray(together[1:2], int) - np.asarray(alone, int)).max() <= 1

    def test_a_missing_target_joint_has_no_influence(self):
        params, guide, source, source_pose, target_pose, _ = inputs()
        x0 = jnp.asarray(np.random.default_rng(0).normal(size=(3, *SIZE, 3)), jnp.float32)
        hidden = target_pose.copy()
        hidden[:, 4, 2] = 0
        moved = hidden.copy()
        moved[:, 4, :2] = 99
        energy = jax.jit(lambda pose: guide.energy(
            pose, SCHEDULE, pif=1.0, target=1.0)(x0, T)[0])
        values = [energy(pose) for pose in (hidden, moved)]
        np.testing.assert_array_equal(*values)

    def test_gradient_is_that_of_finite_differences(self):
        _, guide, _, _, target_pose, _ = inputs()
        x0 = jnp.asarray(np.random.default_rng(0).normal(size=(3, *SIZE, 3)), jnp.float32)
        measure = guide.energy(target_pose, SCHEDULE, pif=0.7, target=1.3)
        held = jax.jit(guide.estimate)(
            x0, jnp.sqrt(1 - SCHEDULE.alpha_bar(T))[:, 0, 0, 0]).confidence
        energy, gradient = jax.jit(jax.value_and_grad(lambda x: measure(x, T)[0].sum()))(x0)

        def fixed(x):
            """The energy with the confidences of x0."""
            found = guide.estimate(x, jnp.sqrt(1 - SCHEDULE.alpha_bar(T))[:, 0, 0, 0])
            away = jnp.sum((found.xy - target_pose[..., :2]) ** 2, -1) / SIZE[0] ** 2
            from repose_jax.networks.pif import PoseField
            pose = jnp.concatenate([found.xy, held[..., None]], -1)
            f = PoseField(FIELD).apply({"params": guide.field}, pose, method="of_pose")
            return jnp.sum(1.3 * held * away) + 0.7 * jnp.sum(f.distance**2)

        fixed = jax.jit(fixed)
        np.testing.assert_allclose(fixed(x0), energy, rtol=1e-5)
        rng = np.random.default_rng(2)
        for _ in range(3):
            direction = jnp.asarray(rng.normal(size=x0.shape), jnp.float32)
            slope = (fixed(x0 + 1e-2 * direction) - fixed(x0 - 1e-2 * direction)) / 2e-2
            assert float(jnp.sum(gradient * direction)) == pytest.approx(float(slope), rel=0.05,
                                                                         abs=2e-3)

    def test_no_gradient_makes_a_joint_unreadable_to_please_the_field(self):
        """The confidences hold still; the places of the joints do not."""
        _, guide, _, _, pose, _ = inputs()
        sure = jnp.asarray(np.random.default_rng(5).uniform(0.3, 0.9, pose.shape[:2]), jnp.float32)

        def total(xy, confidence):
            return guide.distance(PoseEstimate(xy, confidence)).sum()

        xy = jnp.asarray(pose[..., :2])
        by_place, by_confidence = jax.jit(jax.grad(total, (0, 1)))(xy, sure)
        assert float(jnp.abs(by_place).max()) > 1e-4
        np.testing.assert_array_equal(by_confidence, 0)
        assert total(xy, sure) != total(xy, 0.5 * sure)  # it does see them

    def test_courses(self):
        times = np.arange(39, -1, -4)
        flat, falling, cosine = (GuidanceConfig(target=1.0, shape=shape).course(times, 40)[times]
                                 for shape in ("constant", "linear", "cosine"))
        np.testing.assert_allclose(flat, 1)
        np.testing.assert_allclose(falling, 1 - np.arange(10) / 10, atol=1e-6)
        assert cosine[0] == 1 and (np.diff(cosine) < 0).all() and cosine[5] == pytest.approx(0.5)

    def test_interval_counts_steps_by_their_middles(self):
        assert GuidanceConfig(target=1.0, interval=(0.2, 0.8)).guided(10) == (2, 8)
        assert GuidanceConfig(target=1.0).guided(6) == (0, 6)
        assert GuidanceConfig().guided(6) == (0, 0)

    def test_without_a_guide_it_says_so(self):
        params, _, source, source_pose, target_pose, keys = inputs()
        with pytest.raises(ValueError, match="guide"):
            generate(MODEL, params, source, source_pose, target_pose, keys,
                     SampleConfig(steps=2, guidance=GuidanceConfig(target=1.0)))

    @pytest.mark.parametrize("changes", [
        {"pif": -1.0}, {"interval": (0.0, 1.5)}, {"shape": "steep"},
        {"through": "wall"}, {"normalize": "yes"}, {"clip": float("nan")}])
    def test_nonsense_is_refused(self, changes):
        config = GuidanceConfig()
        for name, value in changes.items():
            # Past the tests' own check of types, as a user's call would get.
            object.__setattr__(config, name, value)
        with pytest.raises(UserError, match=f"guidance.{next(iter(changes))}"):
            SampleConfig(guidance=config).check(ModelConfig())

    def test_an_interval_that_ends_before_it_begins_is_refused(self):
        with pytest.raises(UserError, match="guidance.interval.*0.8 to 0.2"):
            GuidanceConfig(interval=(0.8, 0.2))
