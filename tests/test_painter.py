"""The painter: what it keeps, how sampling goes on from its picture, and its training."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from painter_parts import (
    CONFIG, COSINE, MODEL, SCENE, SIZE, SOURCE, normal, paint, params, poses, random_params, with_mask,
    with_shares)
from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.common.fields import from_dict, identity, to_dict
from repose_jax.common.signal import to_image, to_signal
from repose_jax.data.config import DataConfig
from repose_jax.data.people.renderer import render, render_background, render_person
from repose_jax.data.people.view import sample_identity, sample_view
from repose_jax.data.people.scene import Background, Occluder
from repose_jax.diffusion.prediction import from_x0, interpret, precondition
from repose_jax.diffusion.samplers import DDIM, Segment, initial_noise, sample
from repose_jax.models.model_config import ModelConfig, ObjectiveConfig, check_model
from repose_jax.models.painting_loss import PaintingObjective
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.sampling import generate
from repose_jax.models.weights import load_model
from repose_jax.networks import fill, place
from repose_jax.networks.painter import PainterConfig, keeping, with_scene
from repose_jax.pose.formats import NamedPose, write_pose
from repose_jax.pose.maps import map_count
from repose_jax.pose.skeleton import MARKET14, OPENPOSE18
from repose_jax.tasks import painter as painter_task, pose_transfer as pose_task
from repose_jax.tasks.fit import fit
from repose_jax.training.config import LoopConfig
from repose_jax.training.state import OptimizerConfig

# Compiled as wholes: each operation by itself takes longer to compile.
fill_in, without_person, in_place_of = (
    jax.jit(fill.fill_in), jax.jit(place.without_person, static_argnums=2),
    jax.jit(place.in_place_of, static_argnums=4))


class TestPainting:
    def test_a_full_mask_hands_the_aligned_source_on(self):
        painting, alignment = paint(with_mask(40.0), SOURCE, poses(2), poses(3))
        np.testing.assert_array_equal(painting.picture, alignment.picture)
        assert jnp.abs(alignment.picture - SOURCE).max() > 0.1  # it was aligned

    def test_an_empty_mask_hands_nothing_of_it_on_directly(self):
        empty, full = (paint(with_mask(logit), SOURCE, poses(2), poses(3))[0].picture
                       for logit in (-40.0, 40.0))
        half = paint(with_mask(0.0), SOURCE, poses(2), poses(3))[0]
        np.testing.assert_allclose(half.picture, (empty + full) / 2, atol=1e-5)
        np.testing.assert_allclose(half.mask, 0.5)

    def test_each_pixel_is_shared_among_the_aligned_the_place_and_the_painted(self):
        model = RePoseModel(SCENE)
        given, paint_scene = random_params(model), jax.jit(model.paint)

        def painted(*logits):
            return paint_scene(with_shares(given, *logits), SOURCE, poses(2), poses(3))

        (aligned, alignment), (unmoved, _), (free, _), (mixed, _) = (
            painted(*logits) for logits in ((40.0, 0.0), (0.0, 40.0), (-40.0, -40.0), (0.0, 0.0)))
        np.testing.assert_allclose(aligned.picture, alignment.picture, atol=1e-6)
        place = without_person(SOURCE, poses(2), MARKET14)
        np.testing.assert_allclose(unmoved.picture, place, atol=1e-5)
        np.testing.assert_allclose(
            mixed.picture, (aligned.picture + unmoved.picture + free.picture) / 3, atol=1e-5)
        np.testing.assert_allclose([mixed.mask, mixed.scene], 1 / 3, atol=1e-6)
        np.testing.assert_allclose(painted(np.log(2.0), np.log(3.0))[0].scene, 3 / 6, atol=1e-6)

    def test_what_is_unknown_is_filled_in_from_around(self):
        picture, known = normal(7, 1, 11, 6, 3), jnp.ones((1, 11, 6, 1)).at[:, 3:8, 1:4].set(0.0)
        np.testing.assert_array_equal(fill_in(picture, jnp.ones_like(known)), picture)
        filled = fill_in(picture, known)
        np.testing.assert_allclose(filled * known, picture * known)
        hidden = picture + 9.0 * (1 - known)  # what stood there has no say
        np.testing.assert_allclose(fill_in(hidden, known), filled, atol=1e-5)
        assert float(jnp.abs(filled).max()) <= float(jnp.abs(picture).max()) + 1e-5
        flat = jnp.full_like(picture, 0.7)
        np.testing.assert_allclose(fill_in(flat, known), flat, atol=1e-6)
        np.testing.assert_array_equal(fill_in(flat, jnp.zeros_like(known)), jnp.zeros_like(flat))

    def test_a_rendered_person_vanishes_from_the_place(self):
        """Nearer to the true place than to the picture with its person, where the person was."""
        view = sample_view(0, 7, 0)
        view = dataclasses.replace(view, occluder=Occluder(), background=Background(seed=2),
                                   light=dataclasses.replace(view.light, shadow=0.0))
        shown = render(sample_identity(0, 7), view, (64, 32))
        truth = 2 * render_background(view, (64, 32)) - 1
        source = to_signal(jnp.asarray(shown.image))
        place = without_person(
            source[None], jnp.asarray(shown.annotated("openpose18"))[None], OPENPOSE18)[0]
        before, after = (float(jnp.abs(x - truth)[shown.mask].mean()) for x in (source, place))
        assert after < 0.2 * before

    def test_a_painter_can_begin_to_keep_a_scene(self):
        """Its first picture is the one it painted before, mixed with the place alone."""
        given, model = random_params(MODEL), RePoseModel(SCENE)
        before = paint(given, SOURCE, poses(2), poses(3))[0]
        grown = jax.jit(with_scene, static_argnums=1)(given["painter"], 2)
        after = jax.jit(model.paint)({**given, "painter": grown}, SOURCE, poses(2), poses(3))[0]
        place = without_person(SOURCE, poses(2), MARKET14)
        assert 0 < float(after.scene.min()) and float(after.scene.max()) < 0.05
        np.testing.assert_allclose(
            after.picture, (1 - after.scene) * before.picture + after.scene * place, atol=1e-5)

    def test_the_answer_in_the_source_s_place(self):
        """The target at its bones, the source where nobody stood, what is around it where its person
        did."""
        size = (32, 16)
        target = jnp.full((1, *size, 3), 0.5)

        def column(x):
            return jnp.asarray([[[x, y, 1.0] for y in np.linspace(4, 28, 14)]], jnp.float32)

        # The source's person, in another colour than its place, must not come along.
        source = jnp.full((1, *size, 3), 0.25).at[:, 2:30, 12:15].set(1.0)
        answer, seen = in_place_of(source, target, column(13.0), column(2.0), MARKET14)
        np.testing.assert_allclose(answer[0, 6:26, 2], 0.5, atol=1e-6)
        np.testing.assert_allclose(answer[0, 6:26, 11:15], 0.25, atol=0.05)
        np.testing.assert_allclose(answer[0, 16, 7], 0.25, atol=0.03)
        assert float(seen[0, 16, 7, 0]) > 0.95
        np.testing.assert_allclose(seen[0, 6:26, 13], 0.0, atol=1e-6)

    def test_a_skirt_between_the_thighs_is_the_person_s(self):
        """The target's middle from hips to knees, as far as all four are known."""
        source, target = (jnp.full((1, 64, 32, 3), value) for value in (0.25, 0.5))
        apart = np.zeros((1, 14, 3), np.float32)
        for name, corner in {"right_hip": (5, 20), "left_hip": (26, 20), "right_knee": (5, 40),
                             "left_knee": (26, 40)}.items():
            apart[0, MARKET14.index(name)] = *corner, 1.0
        nobody = jnp.zeros((1, 14, 3))

        def middle(pose):
            answer, _ = in_place_of(source, target, nobody, jnp.asarray(pose), MARKET14)
            return answer[0, :, 16, 0]

        np.testing.assert_allclose(middle(apart)[24:36], 0.5, atol=0.02)
        np.testing.assert_allclose(middle(apart)[50:], 0.25, atol=0.01)
        apart[0, MARKET14.index("left_knee"), 2] = 0
        np.testing.assert_allclose(middle(apart), 0.25, atol=0.01)

    def test_without_a_scene_the_place_is_not_looked_at(self):
        """And models from before there was one keep their identity."""
        assert "scene" not in identity(CONFIG)["network"]["painter"]
        assert identity(SCENE)["network"]["painter"]["scene"] is True
        assert not paint(params(), SOURCE, poses(2), poses(3))[0].scene.any()
        stem, wider = (given["painter"]["stem"]["kernel"].shape[2]
                       for given in (params(), random_params(RePoseModel(SCENE))))
        assert wider - stem == 3 * 2**2 + map_count(MARKET14)

    def test_above_the_finest_level_there_is_one_warp(self):
        assert "level_0" not in params()["alignment"]
        _, alignment = paint(params(), SOURCE, poses(2), poses(3))
        assert {step.level for step in alignment.trace} == {1}

    def test_the_copied_picture_does_not_fade(self):
        y, copied, ones = normal(4, 3, *SIZE, 3), normal(5, 3, *SIZE, 3), jnp.ones((3, *SIZE, 1))
        abar = COSINE.alpha_bar(jnp.array([0, 20, 39]))
        kept = interpret("x0", y, y, abar, copied=copied, copy_mask=ones, fading=False)
        faded = interpret("x0", y, y, abar, copied=copied, copy_mask=ones)
        np.testing.assert_allclose(kept.x0, copied)
        _, _, w = precondition(abar)
        np.testing.assert_allclose(faded.x0, w * copied + (1 - w) * y, atol=1e-5)
        assert w[0, 0, 0, 0] < 0.02 and w[2, 0, 0, 0] > 0.98


class TestRefining:
    def test_time_steps_up_to_a_share_of_noise(self):
        noise = 1 - COSINE.alpha_bars()
        for share in (0.05, 0.5, 0.9, 1.0):
            times = COSINE.spaced(3, share)
            assert noise[times[0]] <= share < noise[min(times[0] + 1, 39)] or share == 1.0
            assert times[-1] == 0 and list(times) == sorted(times, reverse=True)
        assert COSINE.spaced(4)[0] == 39
        with pytest.raises(ValueError, match="between 1 and"):
            COSINE.spaced(30, 0.05)

    @pytest.mark.parametrize("temperature", [1.0, 0.25])
    def test_it_begins_with_the_noised_picture(self, temperature):
        keys, start = jax.random.split(jax.random.key(0), 2), normal(6, 2, *SIZE, 3)
        times = COSINE.spaced(2, 0.5)

        def watch(y, t):
            return from_x0(jnp.zeros_like(y), y, COSINE.alpha_bar(t), info={"seen": y})

        _, (steps,) = sample([Segment(watch, times)], COSINE, DDIM(), keys, (*SIZE, 3),
                             trajectory=True, start=start, temperature=temperature)
        first = COSINE.noised(
            start, temperature * initial_noise(keys, (*SIZE, 3)), jnp.full(2, times[0]))
        np.testing.assert_allclose(steps.info["seen"][0], first, atol=1e-5)

    def test_a_fresh_denoiser_leaves_the_painted_picture(self):
        """Whatever the noise; so the refinement starts from the painter's picture."""
        unet = params()["unet"]
        fresh = params() | {"unet": unet | {"head": jax.tree.map(jnp.zeros_like, unet["head"])}}
        context = jax.jit(MODEL.condition)(fresh, SOURCE, poses(2), poses(3))
        guessed = jax.jit(lambda given, context, y, t: MODEL.denoiser(given, context)(y, t).x0)
        for t in (0, 39):
            guess = guessed(fresh, context, normal(7, 2, *SIZE, 3), jnp.full(2, t))
            np.testing.assert_allclose(guess, context.picture, atol=1e-5)

    def test_no_step_is_the_painted_picture(self):
        painted = paint(params(), SOURCE, poses(2), poses(3))[0].picture
        keys = jax.random.split(jax.random.key(0), 2)
        source = to_image(SOURCE)
        out, _ = generate(MODEL, params(), source, poses(2), poses(3), keys,
                          SampleConfig(steps=0, source_weight=1.0))
        assert np.abs(np.asarray(out, int) - np.asarray(to_image(painted), int)).max() <= 1
        refined, _ = generate(MODEL, params(), source, poses(2), poses(3), keys,
                              SampleConfig(steps=2, start=0.5, source_weight=1.0))
        assert np.abs(np.asarray(out, int) - np.asarray(refined, int)).max() > 1

    @pytest.mark.parametrize("config", [CONFIG, SCENE], ids=["person", "scene"])
    def test_keeping_more_multiplies_the_odds_of_the_mask(self, config):
        model, given = RePoseModel(config), random_params(RePoseModel(config))
        more = {**given, "painter": keeping(given["painter"], 1.5)}
        plain, kept = (model.paint(p, SOURCE, poses(2), poses(3))[0] for p in (given, more))
        np.testing.assert_allclose(kept.mask / (1 - kept.mask),
                                   np.exp(1.5) * plain.mask / (1 - plain.mask), rtol=1e-4)
        rest = [p.scene / (1 - p.mask) for p in (plain, kept)]  # is shared as it was
        np.testing.assert_allclose(*rest, rtol=1e-4, atol=1e-6)

    def test_who_keeps_all_shows_the_aligned_source(self):
        aligned = paint(params(), SOURCE, poses(2), poses(3))[1].picture
        keys = jax.random.split(jax.random.key(0), 2)
        plain, out = (np.asarray(generate(
            MODEL, params(), to_image(SOURCE), poses(2), poses(3), keys,
            SampleConfig(steps=0, source_weight=1.0, keep=keep))[0], int) for keep in (0.0, 30.0))
        assert np.abs(out - np.asarray(to_image(aligned), int)).max() <= 1 < np.abs(out - plain).max()

    def test_without_temperature_nothing_is_left_to_chance(self):
        def refined(seed, temperature):
            keys = jax.random.split(jax.random.key(seed), 2)
            config = SampleConfig(steps=2, start=0.5, temperature=temperature, source_weight=1.0)
            out, _ = generate(MODEL, params(), to_image(SOURCE), poses(2), poses(3), keys, config)
            return np.asarray(out, int)

        np.testing.assert_array_equal(refined(0, 0.0), refined(1, 0.0))
        assert np.abs(refined(0, 1.0) - refined(1, 1.0)).max() > 1
        with pytest.raises(UserError, match="temperature: is 0.5, and sampling begins with noise"):
            SampleConfig(steps=2, temperature=0.5)

    def test_what_only_a_painter_can_do_is_refused_without_one(self):
        plain = dataclasses.replace(
            CONFIG, network=dataclasses.replace(CONFIG.network, painter=PainterConfig()))
        for wanted in (SampleConfig(steps=0), SampleConfig(steps=2, start=0.5),
                       SampleConfig(steps=2, keep=1.0)):
            wanted.check(CONFIG)
            with pytest.raises(UserError):
                wanted.check(plain)

    def test_a_painted_picture_that_would_not_be_copied_is_refused(self):
        network = dataclasses.replace(
            CONFIG.network, rpa=dataclasses.replace(CONFIG.network.rpa, copy=False))
        check_model(CONFIG)
        with pytest.raises(UserError, match="painter.channels"):
            check_model(dataclasses.replace(CONFIG, network=network))

    def test_training_draws_no_more_noise_than_asked_for(self):
        """With next to none, a perfect copy of y would be the target; the loss shows the level."""
        batch = {"source": to_image(SOURCE), "target": to_image(SOURCE), "source_pose": poses(2),
                 "target_pose": poses(2)}
        keys = jax.random.split(jax.random.key(0), 2)
        seen = []

        class Watched(RePoseModel):
            def _interpret(self, out, y, t, context):
                seen.append(t)
                return super()._interpret(out, y, t, context)

        def most(noise):
            @jax.jit
            def times(params, batch, keys):
                Watched(CONFIG).loss(params, batch, keys, ObjectiveConfig(draws=64, noise=noise))
                return seen.pop()

            return (1 - COSINE.alpha_bars())[np.asarray(times(params(), batch, keys))].max()

        assert most(0.1) <= 0.1 and most(1.0) > 0.5


LOOP = LoopConfig(total_images=8, batch_size=4, log_every_images=4, checkpoint_every_images=100,
                  sample_every_images=0, optimizer=OptimizerConfig(learning_rate=1e-2))
DATA = DataConfig(path="people", identities=4, views=3)
PEOPLE = dataclasses.replace(CONFIG, network=dataclasses.replace(
    CONFIG.network, skeleton="openpose18", image_size=(32, 16)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("painter")
    config = painter_task.PainterExperiment(
        model=PEOPLE, data=DATA, train=LOOP,
        objective=PaintingObjective(adversarial=0.02, match=0.1))
    return fit(config.task(), folder)


class TestTraining:
    def test_the_file_paints_without_a_step(self, trained):
        loaded = load_model(trained)
        assert loaded.sample.steps == 0 and loaded.model.config == PEOPLE
        assert set(loaded.params) == {"encoder", "alignment", "painter", "unet"}

    def test_one_that_aligns_nothing_can_learn_too(self, tmp_path):
        """The ablation's baseline, whose alignment has no parameters."""
        still = dataclasses.replace(PEOPLE, network=dataclasses.replace(
            PEOPLE.network, rpa=dataclasses.replace(PEOPLE.network.rpa, iterations=0)))
        config = painter_task.PainterExperiment(model=still, data=DATA, train=LOOP)
        assert set(load_model(fit(config.task(), tmp_path)).params) == {"encoder", "painter", "unet"}

    def test_the_command_paints_with_it(self, trained, tmp_path):
        render = render_person(0, 5, 0, (32, 16))
        pose = NamedPose(pose=render.annotated("openpose18"), name="person", skeleton=OPENPOSE18,
                         size=(32, 16))
        write_pose(tmp_path / "person.json", pose)
        Image.fromarray(render.image).save(tmp_path / "person.png")
        output = tmp_path / "out.png"
        assert main(["transfer", str(tmp_path / "person.png"), "--pose",
                     str(tmp_path / "person.json"), "--retarget", "none", "--model",
                     str(trained), "--output", str(output), "--explain"]) == 0
        loaded = load_model(trained)
        painted = jax.jit(loaded.model.paint)(
            loaded.params, to_signal(jnp.asarray(render.image[None])),
            jnp.asarray(pose.pose[None]), jnp.asarray(pose.pose[None]))[0]
        difference = np.asarray(Image.open(output), int) - np.asarray(to_image(painted.picture)[0])
        assert np.abs(difference).max() <= 1
        assert Image.open(tmp_path / "out-trajectory.png").size[0] > 32

    def test_what_is_not_denoised_has_no_denoising_loss(self, trained, tmp_path, capsys):
        output = tmp_path / "report.json"
        assert main(["evaluate", "--model", str(trained), "--data", "people", "--identities", "2",
                     "--views", "2", "--pairs", "4", "--no-baselines", "--output", str(output)]) == 0
        assert json.loads(output.read_text())["denoising"] is None
        assert "with 0 steps nothing is denoised" in capsys.readouterr().out

    def test_the_denoiser_learns_and_the_painter_stays(self, trained, tmp_path):
        config = pose_task.ExperimentConfig(
            model=PEOPLE, data=DATA, train=LOOP, frozen=pose_task.PARTS,
            objective=ObjectiveConfig(drop_source=0.0, noise=0.5),
            sample=SampleConfig(steps=2, start=0.5, source_weight=1.0))
        path = fit(config.task(trained), tmp_path)
        before, after = load_model(trained).params, load_model(path).params
        for part in pose_task.PARTS:
            jax.tree.map(np.testing.assert_array_equal, before[part], after[part])
        moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), before["unet"],
                             after["unet"])
        assert max(jax.tree.leaves(moved)) > 1e-3

    def test_nothing_can_be_kept_of_nothing(self, tmp_path):
        config = pose_task.ExperimentConfig(model=PEOPLE, data=DATA, train=LOOP,
                                            sample=SampleConfig(steps=2), frozen=("painter",))
        with pytest.raises(UserError, match="--init"):
            config.task().data(tmp_path)
        made = jax.eval_shape(config.task().init, jax.random.key(0))  # but it can be shown
        assert set(made) == {"encoder", "alignment", "unet"}
        with pytest.raises(UserError, match="frozen"):
            pose_task.ExperimentConfig(model=PEOPLE, frozen=("unet",))


def test_runs_from_before_a_field_was_added_compare_equal():
    old = ModelConfig()
    assert "painter" not in identity(old)["network"] and "copy_fades" not in identity(old)
    assert identity(CONFIG)["network"]["painter"]["channels"] == [4, 8]
    assert from_dict(ModelConfig, identity(old)) == old
    assert from_dict(ModelConfig, to_dict(CONFIG)) == CONFIG
