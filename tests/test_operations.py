"""Operations are counted as one counts them by hand; what is left out of sampling is not done."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import pytest

from repose_jax.experiments.bench.operations import operations
from repose_jax.experiments.presets.tiny import CONFIG
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.sampling import generate
from repose_jax.networks.conv import Conv


class TestCount:
    X, W = jnp.ones((4, 8)), jnp.ones((8, 16))

    def test_a_product(self):
        assert operations(jnp.matmul, self.X, self.W) == 2 * 4 * 8 * 16
        assert operations(jax.vmap(jnp.matmul), jnp.ones((3, 4, 8)), jnp.ones((3, 8, 16))) == (
            3 * 2 * 4 * 8 * 16)

    def test_a_convolution_and_its_gradients(self):
        layer, x = Conv(5, (3, 3)), jnp.ones((2, 6, 7, 4))
        params = layer.init(jax.random.key(0), x)
        forward = 2 * (2 * 6 * 7 * 5) * (3 * 3 * 4)
        assert operations(layer.apply, params, x) == forward
        grad = jax.grad(lambda params, x: layer.apply(params, x).sum(), (0, 1))
        assert operations(grad, params, x) == pytest.approx(3 * forward, rel=0.5)

    def test_loops_and_branches(self):
        def loop(x, w):
            return jax.lax.scan(lambda x, _: (jnp.tanh(jax.jit(jnp.matmul)(x, w)), None), x, length=7)

        square = jnp.ones((8, 8))
        assert operations(loop, self.X, square) == 7 * 2 * 4 * 8 * 8
        assert operations(lambda x, w: jax.lax.cond(
            x[0, 0] > 0, lambda: x @ w @ w, lambda: x), self.X, square) == 2 * 2 * 4 * 8 * 8
        with pytest.raises(ValueError, match="unknown length"):
            operations(lambda x, w: jax.lax.while_loop(
                lambda x: x[0, 0] < 9, lambda x: x @ w, x), self.X, square)


@pytest.fixture(scope="module")
def count():
    model = RePoseModel(CONFIG.model)
    size = CONFIG.model.network.image_size
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    joints = len(model.network.skeleton.joints)
    picture = jax.ShapeDtypeStruct((1, *size, 3), jnp.uint8)
    pose = jax.ShapeDtypeStruct((1, joints, 3), jnp.float32)

    @functools.cache
    def count(config: SampleConfig) -> int:
        return operations(lambda params, source, *poses: generate(
            model, params, source, *poses, jax.random.split(jax.random.key(0), 1), config)[0],
            shapes, picture, pose, pose)

    return count


class TestSampling:
    """A segment without a guidance does nothing for it."""

    def plain(self, steps: int, **settings) -> SampleConfig:
        return SampleConfig(steps=steps, source_weight=1.0, **settings)

    def test_the_source_is_read_once_a_picture(self, count):
        """A further evaluation costs the same each time, and the U-Net alone."""
        model = RePoseModel(CONFIG.model)
        inputs = jax.eval_shape(model.network.dummy_inputs)
        y, t, source, source_pose, target_pose, present = inputs
        params = jax.eval_shape(model.init, jax.random.key(0))
        conditions = functools.partial(model.network.apply, method="condition")
        args = {"params": params}, source, source_pose, target_pose, present
        once = operations(conditions, *args)
        evaluation = operations(
            model.network.apply, {"params": params}, y, t, jax.eval_shape(conditions, *args))
        for steps in (1, 4):  # beside them only the sum over the branches, of which there is one
            assert count(self.plain(steps)) == pytest.approx(once + steps * evaluation, rel=2e-3)

    @pytest.mark.parametrize("sampler", ["dpm++2m", "unipc", "heun"])
    def test_solvers_evaluate_as_often_as_is_said(self, count, sampler):
        assert count(self.plain(5, sampler=sampler)) == count(self.plain(5))

    def test_classifier_free_guidance_costs_nothing_outside_of_its_interval(self, count):
        evaluation = count(self.plain(3)) - count(self.plain(2))
        whole = count(SampleConfig(steps=4, source_weight=2.0))
        half = count(SampleConfig(
            steps=4, source_weight=2.0, classifier_free_interval=(0.25, 0.75)))
        assert whole - count(SampleConfig(steps=3, source_weight=2.0)) == 2 * evaluation
        # The plain steps' conditions are among those that guidance needs anyway.
        assert half == whole - 2 * evaluation
        assert count(SampleConfig(
            steps=4, source_weight=2.0, classifier_free_interval=(0.4, 0.45))) == (
                count(self.plain(4)))  # no step's middle lies in it
        assert count(SampleConfig(
            steps=4, source_weight=1.0, classifier_free_interval=(0.25, 0.75))) == (
                count(self.plain(4)))

    def test_plain_steps_beside_a_guidance_without_their_branch(self, count):
        """Theirs is a fourth branch, made in one pass with the three: never a pass of its own."""
        evaluation = count(self.plain(3)) - count(self.plain(2))
        whole = count(SampleConfig(steps=4, classifier_free="disentangled"))
        half = count(SampleConfig(
            steps=4, classifier_free="disentangled", classifier_free_interval=(0.25, 0.75)))
        # The whole counts that pass, for the picture that sampling may begin with.
        assert half < whole - 4 * evaluation
