"""A network of larger pictures that begins with what one of smaller pictures does."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from painter_parts import CONFIG, SCENE, SIZE, SOURCE, normal, poses, random_params, with_shares
from repose_jax.common.errors import UserError
from repose_jax.models.model_config import ModelConfig
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.weights import save_model
from repose_jax.networks.finer_cells import with_finer_cells
from repose_jax.networks.pose_estimator import EstimatorConfig, PoseEstimator, peak
from repose_jax.tasks.pose_transfer import initial


def of_size(config: ModelConfig, times: int, **rpa) -> ModelConfig:
    network = config.network
    return dataclasses.replace(config, network=dataclasses.replace(
        network, image_size=(times * SIZE[0], times * SIZE[1]),
        unet=dataclasses.replace(network.unet, patch=times * network.unet.patch),
        rpa=dataclasses.replace(network.rpa, **rpa)))


def enlarged(x, times):
    return x.repeat(times, axis=1).repeat(times, axis=2)


def moved(pose, times):
    """The pose in an enlarged picture: pixels have their centres at whole numbers."""
    return pose.at[..., :2].set(times * (pose[..., :2] + 0.5) - 0.5)


def each_pixel_by_itself(part):
    """The part with the last two layers' kernels left of their middle, and blind to the pictures."""
    def middle(kernel, seen):
        still = jnp.zeros_like(kernel).at[1, 1].set(kernel[1, 1])
        return still.at[:, :, seen:].set(0.0)

    refine, head = part["refine"]["kernel"], part["head"]["kernel"]
    return {**part, "refine": {**part["refine"], "kernel": middle(refine, refine.shape[3])},
            "head": {**part["head"], "kernel": middle(head, head.shape[2])}}


# A place is filled in pixel by pixel, where a person's edge is softer the more of them there are.
@pytest.mark.parametrize(("config", "times", "within"), [
    (CONFIG, 2, 2e-5), (CONFIG, 3, 2e-5), (SCENE, 2, 6e-3)])
def test_an_enlarged_picture_is_the_same_to_it(config, times, within):
    """Cells of one colour each: features and the painted picture, which the denoiser leaves alone."""
    small, large = (RePoseModel(of_size(config, by, iterations=0)) for by in (1, times))
    given = random_params(small)
    given = with_shares({**given, "painter": each_pixel_by_itself(given["painter"])},
                        *[-40.0] * (1 + config.network.painter.scene))
    grown = with_finer_cells(given, 2, times)
    like = jax.eval_shape(large.init, jax.random.key(0))
    assert jax.tree.map(jnp.shape, grown) == jax.tree.map(jnp.shape, like)

    def answers(model, params, by):
        source, y = enlarged(SOURCE, by), enlarged(normal(4, *SOURCE.shape), by)
        pose = [moved(poses(seed), by) for seed in (2, 3)]
        painting, alignment = model.paint(params, source, *pose)

        def run(network):
            return network(y, jnp.full(2, 7), network.condition(source, *pose, jnp.ones(2)))

        out = model.network.apply({"params": params}, method=run)
        return alignment.features, painting.picture, out.signal

    (features, picture, refined), (their_features, their_picture, their_refined) = (
        jax.jit(answers, static_argnums=(0, 2))(model, params, by)
        for model, params, by in ((small, given, 1), (large, grown, times)))
    assert float(picture.std()) > 0.01 and float(jnp.abs(refined - picture).max()) > 0.01
    for number, value in features.items():
        np.testing.assert_allclose(their_features[number], value, atol=2e-5)
    np.testing.assert_allclose(their_picture, enlarged(picture, times), atol=within)
    np.testing.assert_array_equal(their_refined, their_picture)


def test_a_denoiser_without_a_painter_answers_as_before():
    plain = dataclasses.replace(CONFIG, network=dataclasses.replace(
        CONFIG.network, painter=dataclasses.replace(CONFIG.network.painter, channels=())))
    small, large = (RePoseModel(of_size(plain, by, iterations=0)) for by in (1, 2))
    given = random_params(small)
    given = {**given, "unet": each_pixel_by_itself(given["unet"])}

    def answer(model, params, by):
        source, y = enlarged(SOURCE, by), enlarged(normal(4, *SOURCE.shape), by)
        pose = [moved(poses(seed), by) for seed in (2, 3)]
        return model.network.apply({"params": params}, y, jnp.full(2, 7), source, *pose, jnp.ones(2),
                                   method="everything").signal

    theirs = jax.jit(answer, static_argnums=(0, 2))(large, with_finer_cells(given, 2, 2), 2)
    ours = jax.jit(answer, static_argnums=(0, 2))(small, given, 1)
    assert float(ours.std()) > 0.01
    np.testing.assert_allclose(theirs, enlarged(ours, 2), atol=2e-5)


def test_a_run_may_begin_with_a_smaller_picture_s_model(tmp_path):
    file, small = tmp_path / "model.safetensors", RePoseModel(SCENE)
    given = random_params(small)
    save_model(file, SCENE, given, {"images": 1}, SampleConfig(steps=0))
    large = of_size(SCENE, 2)
    like = jax.eval_shape(RePoseModel(large).init, jax.random.key(0))
    begun = initial(file, large, like)
    np.testing.assert_allclose(  # the file holds halves
        begun["encoder"]["stem"]["kernel"],
        with_finer_cells(given, 2, 2)["encoder"]["stem"]["kernel"], rtol=1e-3)
    # 3 cells' pixels are no whole number of 2: the layers do not fit, and the first is named.
    odd = dataclasses.replace(of_size(SCENE, 3), network=dataclasses.replace(
        of_size(SCENE, 3).network, unet=dataclasses.replace(SCENE.network.unet, patch=3)))
    with pytest.raises(UserError, match="stem"):
        initial(file, odd, jax.eval_shape(RePoseModel(odd).init, jax.random.key(0)))


class TestEstimator:
    CONFIG = EstimatorConfig(image_size=(16, 8), channels=(4, 4), groups=2, patch=2)

    def test_an_enlarged_picture_has_the_same_pose(self):
        config, picture = self.CONFIG, normal(0, 2, 16, 8, 3)
        module = PoseEstimator(config)
        params = module.init(jax.random.key(0), picture, jnp.zeros(2))["params"]
        small, large = (
            peak(module.apply({"params": params}, x, jnp.zeros(2)), x.shape[1:3])
            for x in (picture, enlarged(picture, 3)))
        np.testing.assert_allclose(large.confidence, small.confidence, atol=1e-5)
        np.testing.assert_allclose(large.xy, moved(small.pose, 3)[..., :2], atol=1e-3)

    @pytest.mark.parametrize(("size", "times"), [
        ((16, 8), 1), ((48, 24), 3), ((32, 8), 0), ((24, 12), 0), ((8, 4), 0)])
    def test_which_pictures_it_reads(self, size, times):
        assert self.CONFIG.enlarged(size) == times
