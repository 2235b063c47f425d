"""A model of latents: poses and signals keep their place and scale, the first stage stays as it is,
and pictures are trained, saved, guided and painted through it."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.common.fields import identity
from repose_jax.data.config import DataConfig
from repose_jax.data.image.files import read_image
from repose_jax.diffusion.prediction import SIGMA_DATA
from repose_jax.experiments.presets.tiny import CONFIG
from repose_jax.models.model_config import ModelConfig, check_model
from repose_jax.models.pose_energy import Guide
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import GuidanceConfig, SampleConfig
from repose_jax.models.sampling import generate
from repose_jax.models.weights import load_model, save_weights
from repose_jax.networks.autoencoder import AutoencoderConfig, fresh_autoencoder, standardised
from repose_jax.networks.painter import PainterConfig
from repose_jax.networks.pose_estimator import EstimatorConfig, fresh_estimator
from repose_jax.networks.unet import UNetConfig
from repose_jax.pose.flow import skeleton_flow
from repose_jax.pose.cells import in_cells
from repose_jax.pose.maps import pose_maps
from repose_jax.pose.skeleton import SKELETONS
from repose_jax.tasks.fit import fit
from repose_jax.training.config import LoopConfig

SIZE, CELLS = (32, 16), (8, 4)
STAGE = AutoencoderConfig(channels=(8, 8), blocks=1, latent=5, patch=2, groups=4, attention=False)
NETWORK = dataclasses.replace(
    CONFIG.model.network, image_size=SIZE,
    unet=UNetConfig(channels=(8, 16), blocks=1, attention=(1,), groups=4, dropout=0.0,
                    resample_blocks=False))
MODEL = dataclasses.replace(CONFIG.model, network=NETWORK, first_stage=STAGE)
SKELETON = SKELETONS["openpose18"]
maps_of = jax.jit(pose_maps, static_argnums=(1, 2, 3))
flow_of = jax.jit(skeleton_flow, static_argnums=(2, 3, 4))


def stage_params(seed=0):
    """Random, with latents of no particular scale."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(fresh_autoencoder(STAGE), jax.random.key(0))
    params = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) * 0.2, jnp.float32), shapes)
    return standardised(params, jnp.linspace(-0.5, 0.5, 5), jnp.linspace(0.4, 0.8, 5))


def poses(count, seed=0):
    rng = np.random.default_rng(seed)
    xy = rng.uniform(1, (SIZE[1] - 2, SIZE[0] - 2), (count, 18, 2))
    return jnp.asarray(np.concatenate([xy, rng.random((count, 18, 1)) < 0.8], -1), jnp.float32)


class TestPlaces:
    def test_centres(self):
        """Pixels 0 to 3 are the first cell of 4: its centre, 1.5, is the cell 0."""
        pose = jnp.array([[1.5, 5.5, 1.0], [-0.5, 3.5, 0.0]])
        np.testing.assert_allclose(in_cells(pose, 4), [[0, 1, 1], [-0.5, 0.5, 0]])
        np.testing.assert_array_equal(in_cells(pose, 1), pose)

    def test_a_pose_lies_in_the_latents_where_it_lies_in_the_picture(self):
        """Maps of the same cells are the same, drawn from pixels or from cells; flows too."""
        pose, other = poses(3), poses(3, 1)
        np.testing.assert_allclose(maps_of(in_cells(pose, 4), SKELETON, CELLS, CELLS),
                                   maps_of(pose, SKELETON, CELLS, SIZE), atol=1e-5)
        np.testing.assert_allclose(
            flow_of(in_cells(pose, 4), in_cells(other, 4), SKELETON, CELLS, CELLS),
            flow_of(pose, other, SKELETON, CELLS, SIZE), atol=2e-3)

    def test_the_model_shows_its_network_just_that(self):
        model = RePoseModel(MODEL)
        params = jax.jit(model.init)(jax.random.key(0)) | {"first_stage": stage_params()}
        pictures = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), np.uint8))

        @jax.jit
        def shown(params, pictures, source_pose, target_pose):
            signal = model.encode(params, pictures)
            found = model.align(params, signal, source_pose, target_pose)
            return (signal, model.condition(params, signal, source_pose, target_pose), found,
                    model.pictures(params, signal), model.decode(params, signal))

        source_pose, target_pose = poses(2), poses(2, 1)
        signal, context, alignment, back, image = shown(params, pictures, source_pose, target_pose)
        assert signal.shape == (2, *CELLS, 5) and back.shape == image.shape == (2, *SIZE, 3)
        np.testing.assert_allclose(
            context.maps, maps_of(target_pose, SKELETON, CELLS, SIZE), atol=1e-5)
        # Nothing was learnt: the flow is the skeleton's, in parts of the picture as in latents.
        np.testing.assert_allclose(
            alignment.flow, flow_of(source_pose, target_pose, SKELETON, CELLS, SIZE), atol=2e-3)
        assert alignment.picture.shape == (2, *SIZE, 3)
        np.testing.assert_array_equal(image, np.clip(np.round((back + 1) * 127.5), 0, 255))


def test_the_signal_is_the_standardised_latents_at_the_deviation_of_pictures():
    from repose_jax.common.signal import to_signal
    from repose_jax.networks.apply import apply
    from repose_jax.networks.autoencoder import Autoencoder
    model, stage = RePoseModel(MODEL), stage_params()
    pictures = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), np.uint8))

    @jax.jit
    def both(stage):
        raw = apply(Autoencoder(STAGE), stage, to_signal(pictures), method="encode").mean
        signal = model.encode({"first_stage": stage}, pictures)
        return (raw, apply(Autoencoder(STAGE), stage, raw, method="decode"), signal,
                model.pictures({"first_stage": stage}, signal))

    raw, decoded, signal, back = both(stage)
    np.testing.assert_allclose(
        signal, SIGMA_DATA * (raw - np.linspace(-0.5, 0.5, 5)) / np.linspace(0.4, 0.8, 5), atol=1e-4)
    np.testing.assert_allclose(back, decoded, atol=1e-3)
    assert not model.bounded and RePoseModel(CONFIG.model).bounded


class TestWhatCannotBe:
    def test_older_configurations_are_the_same(self):
        assert "first_stage" not in identity(ModelConfig())
        assert "first_stage" in identity(MODEL)

    @pytest.mark.parametrize("change, said", [
        ({"image_size": (32, 12)}, "multiples of 8"),
        ({"learned_variance": True}, "no picture's bits"),
        ({"painter": PainterConfig(channels=(8, 8))}, "latents are refined"),
        ({"maps": "pidm"}, "no room for PIDM's")])
    def test_is_a_line(self, change, said):
        network = dataclasses.replace(NETWORK, **change)
        with pytest.raises(UserError, match=said):
            check_model(dataclasses.replace(MODEL, network=network))


@pytest.fixture(scope="module")
def stage_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stage") / "stage"
    folder.mkdir()
    save_weights(folder / "model.safetensors", "first-stage", STAGE, stage_params(), {})
    return folder


def experiment(stage_folder, **changes):
    return dataclasses.replace(
        CONFIG, model=dataclasses.replace(MODEL, first_stage=AutoencoderConfig()),
        data=DataConfig(path="people", identities=2, views=2), sample=SampleConfig(steps=2),
        first_stage=str(stage_folder), **{"train": LoopConfig(total_images=8, batch_size=4)} | changes)


@pytest.fixture(scope="module")
def run_folder(stage_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("latent") / "run"
    fit(experiment(stage_folder).task(), folder)
    return folder


class TestEndToEnd:
    def test_the_file_holds_the_first_stage_as_it_was(self, run_folder):
        loaded = load_model(run_folder)
        assert loaded.config == MODEL
        jax.tree.map(
            lambda a, b: np.testing.assert_array_equal(a, np.float32(np.float16(b))),
            loaded.params["first_stage"], stage_params())
        rows = [json.loads(line) for line in (run_folder / "log.jsonl").read_text().splitlines()]
        assert np.isfinite(rows[-1]["loss"])

    def test_it_is_an_argument_that_is_not_trained(self, stage_folder):
        task = experiment(stage_folder).task()
        shapes = jax.eval_shape(task.init, jax.random.key(0))
        assert "first_stage" not in shapes and "unet" in shapes
        assert set(task.frozen["parts"]) == {"first_stage"} == set(task.frozen_shapes()["parts"])

    def test_transfer(self, run_folder, tmp_path):
        out = tmp_path / "out.png"
        assert main(["transfer", "examples/person-a.png", "--pose", "examples/pose-arms.json",
                     "--model", str(run_folder), "--steps", "2", "--output", str(out),
                     "--source-pose", "examples/person-a.json", "--explain"]) == 0
        assert read_image(out).shape == (*SIZE, 3)
        assert (tmp_path / "out-explain.png").exists() and (tmp_path / "out-trajectory.png").exists()

    def test_guidance_acts_on_the_decoded_picture(self, run_folder):
        loaded = load_model(run_folder)
        config = EstimatorConfig(skeleton="openpose18", image_size=SIZE, channels=(8, 8), groups=4)
        # Fresh heads are silent: random ones have a gradient.
        rng = np.random.default_rng(0)
        guide = Guide(jax.tree.map(
            lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) * 0.2, jnp.float32),
            jax.eval_shape(fresh_estimator(config), jax.random.key(0))), None, config)
        pictures = np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3), np.uint8)
        key = jax.random.split(jax.random.key(0), 1)

        def paint(strength):
            return generate(loaded.model, loaded.params, pictures, poses(1), poses(1, 1), key,
                            SampleConfig(steps=2, source_weight=1.0, guidance=GuidanceConfig(
                                target=1.0, strength=strength, normalize="unit")),
                            trajectory=True, guide=guide)

        (_, (plain,)), (_, (guided,)) = paint(0.0), paint(0.1)
        assert guided.x0.shape == (2, 1, *CELLS, 5)
        # To the first step both come alike; it is moved by 0.1 of the signal, and no clipping.
        np.testing.assert_allclose(guided.info["shift"], 0.1, rtol=1e-3)
        moved = np.sqrt(np.mean((guided.x0[0] - plain.x0[0]) ** 2))
        assert moved == pytest.approx(0.1, rel=1e-2)
        assert guided.info["pose"].shape == (2, 1, 18, 3)

    def test_another_first_stage_is_refused(self, run_folder, stage_folder, tmp_path):
        save_weights(tmp_path / "other.safetensors", "first-stage", STAGE, stage_params(1), {})
        other = experiment(tmp_path / "other.safetensors",
                           train=LoopConfig(total_images=12, batch_size=4))
        with pytest.raises(UserError, match="another first stage"):
            other.task(run_folder)
        with pytest.raises(UserError, match="frozen"):
            fit(other.task(), run_folder)
        sizes = dataclasses.replace(other, model=dataclasses.replace(
            MODEL, first_stage=dataclasses.replace(STAGE, groups=8)))
        with pytest.raises(UserError, match="has the sizes"):
            sizes.task()
        same = experiment(stage_folder).task(run_folder)
        assert "first_stage" not in same.given

    def test_without_one_nothing_is_trained(self, stage_folder, tmp_path):
        lacking = dataclasses.replace(experiment(stage_folder), model=MODEL, first_stage="")
        with pytest.raises(UserError, match="first-stage.*is not given"):
            fit(lacking.task(), tmp_path / "run")
