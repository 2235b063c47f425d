"""Recurrent pose alignment: its formulas, its limits, and that it begins at the skeleton flow."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repose_jax.networks import warp as warp_module
from repose_jax.networks.rpa import ConvGRU, RecurrentPoseAlignment, RPAConfig
from repose_jax.networks.unet import UNetConfig, encoder_plan
from repose_jax.pose.flow import skeleton_flow
from repose_jax.pose.skeleton import MARKET14

warp = jax.jit(warp_module.warp)

SIZE = (16, 8)
TINY = UNetConfig(channels=(4, 6, 8), blocks=1, attention=(1, 2), groups=2, dropout=0.0)


def normal(seed: int, *shape: int) -> jnp.ndarray:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def poses(seed: int) -> jnp.ndarray:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(1, [SIZE[1] - 2, SIZE[0] - 2], (2, 14, 2))
    return jnp.asarray(np.concatenate([xy, np.ones((2, 14, 1))], -1), jnp.float32)


FEATURES = [normal(20 + k, 2, *TINY.level_size(block.level, SIZE), block.channels)
            for k, block in enumerate(encoder_plan(TINY))]
WANTED = (1, 2, 3, 4, 5)  # of TINY: levels 0 | 1, 1 | 2, 2
INPUTS = (normal(30, 2, *SIZE, 3), FEATURES, poses(31), poses(32))


@functools.cache
def aligner(iterations: int, initial: str):
    module = RecurrentPoseAlignment(RPAConfig(iterations=iterations, initial=initial, hidden=3),
                                    TINY, MARKET14, WANTED)
    return module, jax.jit(lambda params, inputs: module.apply({"params": params}, *inputs))


@functools.cache
def shapes(iterations: int = 1):
    return jax.eval_shape(
        lambda: aligner(iterations, "zero")[0].init(jax.random.key(0), *INPUTS)["params"])


def fill(scale: float = 0.3):
    """Random parameters: what starts at zero in a fresh network would hide mistakes."""
    leaves, tree = jax.tree.flatten(shapes())
    rng = np.random.default_rng(0)
    return jax.tree.unflatten(
        tree, [jnp.asarray(scale * rng.normal(size=leaf.shape), jnp.float32) for leaf in leaves])


def silent(flow_bias=(0.0, 0.0), mask_bias=0.0):
    """Parameters with zero heads but for their biases; the rest random."""
    params = fill()
    for level in params.values():
        for head, bias in (("flow", flow_bias), ("mask", [mask_bias])):
            level[head] = {"kernel": jnp.zeros_like(level[head]["kernel"]),
                           "bias": jnp.asarray(bias, jnp.float32)}
    return params


def test_gru_formula():
    """h' = (1 - z) h + z tanh(W [r h, x]), z and r sigmoids of [h, x], at a picture of one cell."""
    state, x = normal(40, 3, 1, 1, 4), normal(41, 3, 1, 1, 5)
    gates, candidate = normal(42, 3, 3, 9, 8), normal(43, 3, 3, 9, 4)
    bias = normal(44, 8)
    out = jax.jit(ConvGRU(4).apply)({"params": {
        "gates": {"kernel": gates, "bias": bias},
        "candidate": {"kernel": candidate, "bias": bias[:4]}}}, state, x)
    h, i, w, v = (np.asarray(a, np.float64) for a in (state[:, 0, 0], x[:, 0, 0], gates[1, 1],
                                                      candidate[1, 1]))
    z, r = np.split(1 / (1 + np.exp(-(np.concatenate([h, i], -1) @ w + bias))), 2, -1)
    new = np.tanh(np.concatenate([r * h, i], -1) @ v + bias[:4])
    np.testing.assert_allclose(out[:, 0, 0], (1 - z) * h + z * new, atol=1e-5)


@pytest.fixture(scope="module")
def out():
    """An alignment with random weights."""
    _, run = aligner(2, "skeleton")
    return run(fill(), INPUTS)


class TestRecurrentPoseAlignment:
    def test_no_iterations_leave_everything_in_place(self):
        module, _ = aligner(0, "skeleton")
        out, variables = module.init_with_output(jax.random.key(0), *INPUTS)
        assert not variables and out.trace == () and not out.flow.any()
        assert out.picture is INPUTS[0]
        assert tuple(out.features) == WANTED
        assert all(out.features[k] is INPUTS[1][k] for k in WANTED)

    def test_parameters_do_not_depend_on_the_number_of_iterations(self):
        assert shapes(1) == shapes(3)
        assert set(shapes(1)) == {"level_0", "level_1", "level_2"}

    def test_fresh_heads(self):
        """A fresh alignment trusts d_0: no correction, and a mask of sigmoid(2) everywhere."""
        module, _ = aligner(1, "zero")
        params = jax.jit(lambda: module.init(jax.random.key(0), *INPUTS)["params"])()
        for level in params.values():
            assert not level["flow"]["kernel"].any() and not level["flow"]["bias"].any()
            assert not level["mask"]["kernel"].any()
            np.testing.assert_allclose(level["mask"]["bias"], 2.0)

    def test_zero_flow_moves_nothing(self):
        _, run = aligner(2, "zero")
        out = run(silent(), INPUTS)
        np.testing.assert_allclose(out.picture, INPUTS[0], atol=1e-6)
        for k in WANTED:
            np.testing.assert_allclose(out.features[k], INPUTS[1][k], atol=1e-6)

    def test_skeleton_flow_and_a_constant_mask(self):
        """F^K = (1 - (1 - m)^K) warp(F^0, d_0) + (1 - m)^K F^0, d_0 fresh at every resolution."""
        _, run = aligner(2, "skeleton")
        source, features, source_pose, target_pose = INPUTS
        out = run(silent(mask_bias=0.7), INPUTS)

        @functools.partial(jax.jit, static_argnums=1)
        def moved(x, size):
            flow = skeleton_flow(source_pose, target_pose, MARKET14, size, SIZE)
            return warp(x, flow), flow

        kept = (1 - 1 / (1 + np.exp(-0.7))) ** 2
        for k in WANTED:
            warped, _ = moved(features[k], features[k].shape[1:3])
            np.testing.assert_allclose(out.features[k], (1 - kept) * warped + kept * features[k],
                                       atol=1e-4)
        picture, flow = moved(source, SIZE)
        assert np.abs(flow).max() > 0.1
        np.testing.assert_allclose(out.flow, flow, atol=1e-5)
        np.testing.assert_allclose(out.picture, picture, atol=1e-3)

    def test_flow_heads_speak_in_cells_and_add_up(self):
        """A head that says (1, -1) moves by one cell of its level, K times a level."""
        _, run = aligner(2, "zero")
        out = run(silent(flow_bias=(1.0, -1.0), mask_bias=50.0), INPUTS)
        widths = np.array([2, 4, 8])  # cells of a row, coarse to fine; columns have twice as many
        steps = np.repeat(1 / widths, 2)
        for trace, x in zip(out.trace, np.cumsum(steps), strict=True):
            np.testing.assert_allclose(trace.flow[..., 0], x, atol=1e-6)
            np.testing.assert_allclose(trace.flow[..., 1], -x / 2, atol=1e-6)
            np.testing.assert_allclose(trace.mask, 1)
        np.testing.assert_allclose(out.flow[..., 0], steps.sum(), atol=1e-6)
        expected = warp(INPUTS[1][5], out.trace[1].flow)
        np.testing.assert_allclose(out.features[5], expected, atol=1e-5)

    def test_trace(self, out):
        assert [step.level for step in out.trace] == [2, 2, 1, 1, 0, 0]
        for step in out.trace:
            assert step.flow.shape == (2, *TINY.level_size(step.level, SIZE), 2)
            assert step.mask.shape == (*step.flow.shape[:3], 1)

    def test_blending_formula(self, out):
        """F^k = m_k warp(F^0, d_k) + (1 - m_k) F^{k-1}: it is always F^0 that is warped."""
        for k in WANTED:
            start = INPUTS[1][k]
            expected = start
            for step in out.trace:
                if step.level == encoder_plan(TINY)[k].level:
                    expected = step.mask * warp(start, step.flow) + (1 - step.mask) * expected
            np.testing.assert_allclose(out.features[k], expected, atol=1e-4)

    def test_recurrence_sees_what_it_should(self):
        """At the coarsest level both poses and F^0 decide the first flow; no other picture does."""
        _, run = aligner(2, "zero")
        params = fill()
        source, features, source_pose, target_pose = INPUTS

        def first(*inputs):
            return run(params, inputs).trace[0].flow[0]

        plain = first(*INPUTS)
        assert not np.allclose(first(source, features, source_pose + 3, target_pose), plain)
        assert not np.allclose(first(source, features, source_pose, target_pose + 3), plain)
        other = [f + 1 for f in features]
        assert not np.allclose(first(source, other, source_pose, target_pose), plain)
        other = [f.at[1].add(1) for f in features]
        np.testing.assert_allclose(first(source, other, source_pose, target_pose), plain, atol=1e-6)
        assert np.abs(plain).max() > 0.01

    def test_pictures_are_apart(self, out):
        _, run = aligner(2, "skeleton")
        turned = run(fill(), jax.tree.map(lambda x: x[::-1], INPUTS))
        np.testing.assert_allclose(turned.picture[::-1], out.picture, atol=1e-4)
        np.testing.assert_allclose(turned.features[3][::-1], out.features[3], atol=1e-4)

    def test_more_iterations_begin_like_fewer(self, out):
        """The same weights at every k: the first iteration of K = 2 is that of K = 1."""
        _, run = aligner(1, "skeleton")
        once = run(fill(), INPUTS)
        assert len(once.trace) == 3
        np.testing.assert_allclose(once.trace[0].flow, out.trace[0].flow, atol=1e-5)
        assert not np.allclose(out.trace[1].flow, out.trace[0].flow)

    def test_gradient_reaches_every_weight(self):
        """Once the heads are not zero; none is left out of the recurrence."""
        module, _ = aligner(2, "skeleton")

        @jax.jit
        def gradient(params):
            def value(p):
                out = module.apply({"params": p}, *INPUTS)
                return sum((f**2).sum() for f in out.features.values()) + (out.picture**2).sum()
            return jax.grad(value)(params)

        for leaf in jax.tree.leaves(gradient(fill(scale=0.2))):
            assert np.isfinite(leaf).all() and leaf.any()
