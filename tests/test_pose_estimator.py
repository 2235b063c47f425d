"""The pose estimator: how heatmaps become poses, its loss, its training, photos read by it."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from heard import Heard
from repose_jax.common.errors import UserError
from repose_jax.common.signal import to_signal
from repose_jax.data.config import DataConfig
from repose_jax.data.people.renderer import render_person
from repose_jax.diffusion.schedule import Schedule
from repose_jax.inference.detection.photo_pose import photo_pose
from repose_jax.inference.pipeline import PoseTransfer
from repose_jax.models.model_config import ModelConfig
from repose_jax.models.pose_predictor import PoseReader
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.weights import load_estimator, save_model
from repose_jax.networks.network import NetworkConfig
from repose_jax.networks.pose_estimator import (
    EstimatorConfig, Heatmaps, PoseEstimator, estimator_loss, fresh_estimator, peak, soft_argmax)
from repose_jax.networks.rpa import RPAConfig
from repose_jax.networks.unet import UNetConfig
from repose_jax.tasks.fit import fit
from repose_jax.tasks.pose_estimator import EstimatorExperiment, guess
from repose_jax.training.config import LoopConfig

SIZE = (32, 16)
SMALL = EstimatorConfig(image_size=SIZE, skeleton="openpose18", channels=(8, 16), patch=2, groups=4)


def gaussian(place: tuple[float, float], sigma: float, cells=(32, 16), cell: int = 4):
    """Log of a Gaussian around a place in pixels, on a grid of cells; one joint."""
    y, x = np.mgrid[:cells[0], :cells[1]] * cell + (cell - 1) / 2
    distance2 = (x - place[0]) ** 2 + (y - place[1]) ** 2
    return jnp.asarray(-distance2 / (2 * sigma**2), jnp.float32)[None, ..., None]


def heatmaps(logits, shown: float = 20.0) -> Heatmaps:
    return Heatmaps(logits, jnp.full((logits.shape[0], logits.shape[-1]), shown))


class TestDecoding:
    @pytest.mark.parametrize("decode", [soft_argmax, peak])
    def test_a_gaussian_is_found_between_the_cells(self, decode):
        found = decode(heatmaps(gaussian((29.3, 66.8), 4.0)), (128, 64))
        np.testing.assert_allclose(found.xy[0, 0], (29.3, 66.8), atol=0.6)

    def test_confidence_is_precision(self):
        """s^2 / (s^2 + variance) with s = 5 % of the height, times the joint being there."""
        for sigma in (2.0, 6.0, 12.0):
            found = soft_argmax(heatmaps(gaussian((32, 64), sigma, cell=2, cells=(64, 32))),
                                (128, 64))
            expected = 6.4**2 / (6.4**2 + 2 * sigma**2)
            assert float(found.confidence[0, 0]) == pytest.approx(expected, rel=0.08)
        hidden = soft_argmax(heatmaps(gaussian((32, 64), 2.0), shown=-20.0), (128, 64))
        assert float(hidden.confidence[0, 0]) < 1e-6

    def test_of_two_places_the_mean_lies_between_and_the_peak_does_not(self):
        both = jnp.logaddexp(gaussian((20, 40), 3.0), gaussian((44, 90), 3.0) - 0.3)
        assert np.linalg.norm(peak(heatmaps(both), (128, 64)).xy[0, 0] - np.array([20, 40])) < 2
        mean = soft_argmax(heatmaps(both), (128, 64))
        assert 45 < float(mean.xy[0, 0, 1]) < 80
        assert float(mean.confidence[0, 0]) < 0.1

    def test_loss_is_least_at_the_truth(self):
        pose = jnp.array([[[29.0, 66.0, 1]]])
        losses = [float(estimator_loss(heatmaps(gaussian((29 + d, 66), 3.0)), pose, (128, 64))[0][0])
                  for d in (0, 4, 12)]
        assert losses[0] < losses[1] < losses[2]

    def test_loss_does_not_see_joints_that_are_not_annotated(self):
        logits = jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 4, 3)), jnp.float32)
        pose = np.random.default_rng(1).uniform(1, 15, (2, 3, 3)).astype(np.float32)
        pose[:, 1] = (0, 0, 0)
        pose = jnp.asarray(pose)
        other = logits.at[..., 1].set(7.0 * logits[..., 1])
        a, b = (estimator_loss(heatmaps(x), pose, SIZE) for x in (logits, other))
        np.testing.assert_allclose(a[0], b[0], rtol=1e-6)


class TestNetwork:
    def test_noise_level_matters_and_neighbours_do_not(self):
        rng = np.random.default_rng(0)
        shapes = jax.eval_shape(fresh_estimator(SMALL), jax.random.key(0))
        params = jax.tree.map(lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape), x.dtype), shapes)
        image = jnp.asarray(rng.normal(size=(3, *SIZE, 3)), jnp.float32)
        run_network = jax.jit(PoseEstimator(SMALL).apply)
        a = run_network({"params": params}, image, jnp.zeros(3))
        b = run_network({"params": params}, image, jnp.full(3, 0.9))
        assert a.logits.shape == (3, 16, 8, 18) and a.shown.shape == (3, 18)
        assert float(jnp.abs(a.logits - b.logits).max()) > 1e-3
        moved = run_network({"params": params}, image.at[0].set(5.0), jnp.zeros(3))
        np.testing.assert_allclose(moved.logits[1:], a.logits[1:], atol=1e-4)


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory):
    """An untrained diffusion model as a file."""
    config = ModelConfig(
        network=NetworkConfig(
            image_size=SIZE, skeleton="openpose18",
            unet=UNetConfig(channels=(4, 8), blocks=1, attention=(), patch=2, refine=2, groups=2,
                            dropout=0.0, resample_blocks=False),
            rpa=RPAConfig(iterations=0)),
        schedule=Schedule(kind="cosine", steps=50), prediction="x0")
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    params = jax.jit(RePoseModel(config).init)(jax.random.key(0))
    save_model(path, config, params, {}, SampleConfig(steps=2))
    return path


def run(config, folder, **options):
    return fit(config.task(), folder, **options)


def experiment(denoiser, total: int = 64, **changes) -> EstimatorExperiment:
    return EstimatorExperiment(
        estimator=SMALL, data=DataConfig(path="people", identities=4, views=2),
        denoiser=str(denoiser), train=LoopConfig(
            total_images=total, batch_size=8, log_every_images=16, checkpoint_every_images=32,
            sample_every_images=0), **changes)


class TestTraining:
    def test_guesses_are_real_pictures_first(self, denoiser):
        from repose_jax.models.weights import load_model
        loaded = load_model(denoiser)
        rng = np.random.default_rng(0)
        batch = {name: rng.integers(0, 255, (8, *SIZE, 3), dtype=np.uint8)
                 for name in ("source", "target")}
        batch |= {f"{name}_pose": np.ones((8, 18, 3), np.float32) for name in ("source", "target")}
        batch = jax.tree.map(jnp.asarray, batch)
        image, noise = jax.jit(functools.partial(guess, loaded.model, clean=0.25, posed=0.5))(
            loaded.params, batch, jax.random.key(0))
        np.testing.assert_allclose(image[:2], to_signal(batch["target"][:2]), atol=1e-6)
        assert (noise[:2] == 0).all() and (noise[2:] > 0).all() and len(image) == 8

    def test_of_real_pictures_alone_nothing_is_guessed(self):
        batch = {"target": jnp.full((4, 4, 2, 3), 255, jnp.uint8)}
        image, noise = guess(None, {}, batch, jax.random.key(1), clean=1.0, posed=0.5)
        np.testing.assert_array_equal(image, 1.0)
        np.testing.assert_array_equal(noise, np.zeros(4))

    @pytest.mark.parametrize("posed", [0.0, 1.0])
    def test_the_pose_is_told_as_often_as_asked(self, posed):
        """A judge's pictures are made by a model that was never told the target pose."""
        told = {}

        class Model:
            config = ModelConfig(schedule=Schedule(kind="cosine", steps=50))

            def denoised(self, params, batch, t, keys, source_present, pose_present):
                told["source"], told["pose"] = source_present, pose_present
                return to_signal(batch["target"])

        batch = {"target": jnp.zeros((400, 4, 2, 3), jnp.uint8)}
        guess(Model(), {}, batch, jax.random.key(1), clean=0.0, posed=posed)
        np.testing.assert_array_equal(told["pose"], posed)
        # With the pose the source is given nearly always, without in half of the cases.
        assert float(told["source"].mean()) == pytest.approx(0.9 if posed else 0.5, abs=0.08)

    @pytest.mark.slow
    def test_a_run_in_parts_equals_the_whole(self, denoiser, tmp_path):
        config = experiment(denoiser)
        whole = load_estimator(run(config, tmp_path / "whole"))

        def stop(name, facts):
            if name == "checkpoint" and facts["images"] == 32:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(config, tmp_path / "parts", events=Heard(stop))
        parts = load_estimator(run(config, tmp_path / "parts"))
        for a, b in zip(jax.tree.leaves(whole.params), jax.tree.leaves(parts.params), strict=True):
            np.testing.assert_array_equal(a, b)
        assert whole.facts["images"] == 64 and whole.config == SMALL
        assert list((tmp_path / "whole" / "samples").glob("*.png"))

    def test_what_does_not_fit_is_refused(self, denoiser, tmp_path):
        other = dataclasses.replace(SMALL, skeleton="market14")
        with pytest.raises(UserError, match="market14"):
            run(dataclasses.replace(experiment(denoiser), estimator=other), tmp_path)
        for changes in ({"clean": 2.0}, {"estimator": dataclasses.replace(SMALL, patch=5)},
                        {"estimator": dataclasses.replace(SMALL, channels=())}):
            with pytest.raises(UserError):
                dataclasses.replace(experiment(denoiser), **changes)


class TestReader:
    def test_poses_are_in_the_photos_own_pixels(self, tmp_path):
        """An estimator that always says the same place, on a photo of another size and shape."""
        params = jax.jit(fresh_estimator(SMALL))(jax.random.key(0))
        params = jax.tree.map(np.zeros_like, params)
        params["Dense_1"]["bias"] += 20.0  # every joint shows, anywhere: the mean is the middle
        path = tmp_path / "e.safetensors"
        from repose_jax.models.weights import save_weights
        save_weights(path, "estimator", SMALL, params, {})
        reader = PoseReader.load(path)
        photo = render_person(0, 3, 0, (96, 64)).image
        with pytest.raises(UserError, match="shows no person"):
            photo_pose(reader, photo)  # as sure as can be that it is not sure
        reader._read = lambda pictures: jnp.full((len(pictures), 18, 3), 0.9) * jnp.array(
            [10 / 0.9, 20 / 0.9, 1])
        Image.fromarray(photo).save(tmp_path / "p.png")
        found = photo_pose(reader, tmp_path / "p.png")
        # 96x64 is shown as 24x16 at rows 4 to 28: a quarter of the size.
        assert found.size == (96, 64) and found.name == "p"
        np.testing.assert_allclose(found.pose[0, :2], (4 * 10.5 - 0.5, 4 * 16.5 - 0.5), atol=0.1)

    def test_many_pictures_do_not_depend_on_their_batch(self, tmp_path):
        from repose_jax.models.weights import save_weights
        params = jax.jit(fresh_estimator(SMALL))(jax.random.key(1))
        save_weights(tmp_path / "e.safetensors", "estimator", SMALL, params, {})
        reader = PoseReader.load(tmp_path / "e.safetensors")
        pictures = np.random.default_rng(0).integers(0, 255, (7, *SIZE, 3), dtype=np.uint8)
        np.testing.assert_allclose(reader.poses(pictures, at_once=3), reader.poses(pictures),
                                   atol=1e-4)

    def test_a_bundled_model_reads_a_photo_without_a_pose(self):
        """`repose transfer photo` with no pose beside it: joints are known or not, in pixels."""
        render = render_person(0, 100_003, 0, (128, 64))
        pose = PoseTransfer.load("people").read_pose(render.image).pose
        true = render.annotated("openpose18")
        assert set(np.unique(pose[:, 2])) <= {0.0, 1.0} and pose.dtype == np.float32
        both = (pose[:, 2] > 0) & (true[:, 2] > 0)
        assert both.sum() >= 6
        assert np.median(np.linalg.norm((pose - true)[both, :2], axis=1)) < 0.1 * 128
