"""A student of few steps: where its teacher's steps lead, what it is asked for, and its training."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from painter_parts import CONFIG, COSINE, SIZE, normal, poses, random_params
from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.common.signal import to_image
from repose_jax.data.config import DataConfig
from repose_jax.diffusion.distillation import aim, distillation_loss, landed, stops
from repose_jax.diffusion.prediction import from_x0
from repose_jax.diffusion.samplers import DDIM
from repose_jax.models.model_config import ModelConfig
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.sampling import generate
from repose_jax.models.weights import load_model, save_model
from repose_jax.tasks.distill import DistillExperiment, distilled, student_sample
from repose_jax.training.config import LoopConfig
from repose_jax.training.state import OptimizerConfig

TIMES = np.array([39, 25, 9])


def gaussian(mean, variance):
    """The exact denoiser of pictures whose pixels are normal."""
    def denoise(y, t):
        abar = COSINE.alpha_bar(t)
        gain = jnp.sqrt(abar) * variance / (abar * variance + 1 - abar)
        return from_x0(mean + gain * (y - jnp.sqrt(abar) * mean), y, abar)
    return denoise


class TestTheTeachersWay:
    def test_it_stops_between_the_student_s_times(self):
        way = stops(TIMES, 4)
        np.testing.assert_array_equal(way[:, 0], TIMES)
        np.testing.assert_array_equal(way[:, -1], [25, 9, -1])
        assert way.shape == (3, 5) and (np.diff(way) < 0).all()
        np.testing.assert_array_equal(stops(TIMES, 1), [[39, 25], [25, 9], [9, -1]])
        few = stops(np.array([1]), 8)  # there are not as many
        assert (np.diff(few) <= 0).all() and set(few[0]) == {1, 0, -1}

    def test_it_leads_where_the_exact_flow_leads(self):
        """Of a Gaussian the probability flow is known: y keeps its place in units of its deviation."""
        mean, variance = 0.3, 0.2
        y, errors = normal(0, 3, 4, 2, 3), []
        t, to = jnp.array([39, 30, 20]), jnp.array([20, 5, -1])
        abar = [COSINE.alpha_bar(time) for time in (t, to)]
        spread = [jnp.sqrt(a * variance + 1 - a) for a in abar]
        exact = jnp.sqrt(abar[1]) * mean + spread[1] / spread[0] * (y - jnp.sqrt(abar[0]) * mean)
        run = jax.jit(lambda way: landed(gaussian(mean, variance), COSINE, y, way, clip=False))
        for substeps in (1, 2, 8):
            shares = np.arange(substeps + 1) / substeps
            way = jnp.asarray(np.round(t[:, None] + shares * (to - t)[:, None]), jnp.int32)
            errors.append(float(jnp.abs(run(way) - exact).mean()))
        assert errors[2] < 0.4 * errors[1] < 0.3 * errors[0] and errors[2] < 0.03

    def test_stops_at_the_same_time_are_one(self):
        y, denoiser = normal(1, 2, 4, 2, 3), gaussian(0.0, 0.3)
        plain, doubled = (jax.jit(lambda way: landed(denoiser, COSINE, y, way))(jnp.array([way] * 2))
                          for way in ([30, 12, -1], [30, 30, 12, 12, -1]))
        np.testing.assert_allclose(plain, doubled, atol=1e-6)


def test_the_aim_is_the_picture_whose_step_leads_there():
    x0, y = normal(2, 3, 4, 2, 3), normal(3, 3, 4, 2, 3)
    t, to = jnp.array([39, 20, 3]), jnp.array([20, 3, -1])
    end = DDIM().update(COSINE, from_x0(x0, y, COSINE.alpha_bar(t)), y, t, to, jnp.zeros_like(y))
    np.testing.assert_allclose(jax.jit(aim, static_argnums=0)(COSINE, y, end, t, to), x0, atol=2e-4)


def test_the_loss_is_weighed_by_the_signal_within_bounds():
    abar = jnp.array([0.1, 0.75, 0.99])[:, None, None, None]
    error = distillation_loss(jnp.full((3, 2, 2, 3), 0.5), jnp.zeros((3, 2, 2, 3)), abar)
    np.testing.assert_allclose(error, 0.25 * np.array([1, 3, 5]), rtol=1e-5)


BATCH = {"source": to_image(jnp.tanh(normal(4, 2, *SIZE, 3))), "target": to_image(
    jnp.tanh(normal(5, 2, *SIZE, 3))), "source_pose": poses(2), "target_pose": poses(3)}
REFINES = SampleConfig(steps=3, start=0.5, temperature=0.5, source_weight=1.0)


@pytest.fixture(scope="module")
def teacher():
    """Random, and within [-1, 1], so that nothing is clipped."""
    params = random_params(RePoseModel(CONFIG))
    head = params["unet"]["head"]
    return {**params, "unet": {**params["unet"], "head": jax.tree.map(lambda x: 0.1 * x, head)}}


@pytest.fixture(scope="module")
def loss_of(teacher):
    model = RePoseModel(CONFIG)

    @jax.jit
    def loss(student, way, first, batch):
        return distilled(model, student, teacher, batch, way, first,
                         jax.random.split(jax.random.key(0), 2), REFINES)[0]

    def run(student=teacher, substeps=1, first=(True, False), batch=BATCH):
        times = REFINES.evaluated(model.schedule)
        way = stops(times, substeps)[jnp.where(jnp.array(first), 0, 1)]
        return float(loss(student, way, jnp.array(first), batch))

    return run


class TestLoss:
    def test_who_does_what_the_teacher_does_has_nothing_to_learn(self, teacher, loss_of):
        assert loss_of() < 1e-7
        other = {**teacher, "unet": {**teacher["unet"], "head": jax.tree.map(
            lambda x: x + 0.1, teacher["unet"]["head"])}}
        assert loss_of(other) > 1e-4
        assert 1e-9 < loss_of(substeps=4) < loss_of(other)  # more steps lead elsewhere

    def test_the_first_step_begins_with_the_painted_picture(self, loss_of):
        """And not with the target, of which sampling knows nothing."""
        other = BATCH | {"target": 255 - BATCH["target"]}
        assert loss_of(substeps=4, first=(True, True)) == loss_of(
            substeps=4, first=(True, True), batch=other)
        assert loss_of(substeps=4, first=(False, False)) != loss_of(
            substeps=4, first=(False, False), batch=other)


def test_the_first_step_begins_as_sampling_does(teacher):
    """The painted picture under the settings of the teacher's sampler."""
    way = jnp.asarray(stops(REFINES.evaluated(COSINE), 4))[jnp.zeros(2, int)]

    def loss(sample):
        return float(jax.jit(lambda: distilled(
            RePoseModel(CONFIG), teacher, teacher, BATCH, way, jnp.ones(2, bool),
            jax.random.split(jax.random.key(0), 2), sample)[0])())

    plain = loss(REFINES)
    for changed in ({"palette": 0.5}, {"keep": 2.0}):
        assert loss(dataclasses.replace(REFINES, **changed)) != plain


def experiment(teacher, images, **more):
    return DistillExperiment(
        teacher=str(teacher), data=DataConfig(path="people", identities=4, views=3), **more,
        train=LoopConfig(total_images=images, batch_size=4, log_every_images=40, ema_decay=0.9,
                         sample_every_images=0,
                         optimizer=OptimizerConfig(learning_rate=3e-3, warmup_images=0)))


class TestTraining:
    def test_a_student_of_one_step(self, teacher, tmp_path):
        """It nears what its teacher's steps lead to, in its U-Net alone, and its file says one step."""
        from repose_jax.tasks.fit import fit

        config = dataclasses.replace(CONFIG, network=dataclasses.replace(
            CONFIG.network, image_size=(32, 16)))
        sample = dataclasses.replace(REFINES, steps=4, temperature=1.0)
        save_model(tmp_path / "teacher.safetensors", config, teacher, {}, sample, np.float32)
        folder = tmp_path / "student"
        fit(experiment(tmp_path / "teacher.safetensors", 240).task(), folder)
        student, before = load_model(folder), load_model(tmp_path / "teacher.safetensors")
        assert student.sample == student_sample(sample, 1, "trailing")
        assert student.sample.steps == 1 and student.facts["teacher"] == "teacher.safetensors"
        for part in ("encoder", "alignment", "painter"):
            jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=1e-3),
                         student.params[part], before.params[part])
        source = BATCH["source"].repeat(2, axis=1).repeat(2, axis=2)
        keys = jax.random.split(jax.random.key(1), 2)

        def painted(params, settings):
            return np.asarray(generate(student.model, params, source, poses(2), poses(3), keys,
                                       settings)[0], float)

        aimed = painted(before.params, dataclasses.replace(sample, steps=16, times="trailing"))
        apart = [np.abs(painted(params, student.sample) - aimed).mean()
                 for params in (before.params, student.params)]
        assert apart[1] < 0.8 * apart[0]

    def test_what_cannot_be_distilled_is_refused(self, tmp_path, teacher, capsys):
        noise = dataclasses.replace(CONFIG, prediction="epsilon", network=dataclasses.replace(
            CONFIG.network, painter=dataclasses.replace(CONFIG.network.painter, channels=()),
            rpa=dataclasses.replace(CONFIG.network.rpa, copy=False)))
        self.saved(tmp_path / "noise.safetensors", noise)
        with pytest.raises(UserError, match="predicts noise, which tells no picture"):
            experiment(tmp_path / "noise.safetensors", 8).task()
        save_model(tmp_path / "t.safetensors", CONFIG, teacher, {}, REFINES, np.float32)
        part = dataclasses.replace(REFINES, source_weight=2.0, classifier_free_interval=(0.0, 0.5))
        save_model(tmp_path / "part.safetensors", CONFIG, teacher, {}, part, np.float32)
        with pytest.raises(UserError, match="classifier-free guidance in a part of its steps"):
            experiment(tmp_path / "part.safetensors", 8).task()
        with pytest.raises(UserError, match="steps: is 900"):
            experiment(tmp_path / "t.safetensors", 8, steps=900).task()
        assert main(["train", "student", "--teacher", "nobody", "--output", str(tmp_path / "r")]) == 2
        assert "nobody: is no model" in capsys.readouterr().err and not (tmp_path / "r").exists()

    @staticmethod
    def saved(path, config: ModelConfig):
        save_model(path, config, random_params(RePoseModel(config)), {}, SampleConfig(steps=4))
