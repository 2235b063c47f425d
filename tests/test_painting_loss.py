"""What painter, alignment and denoiser learn from."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from painter_parts import CONFIG, SCENE, SIZE, SOURCE, normal, poses, random_params
from repose_jax.common.errors import UserError
from repose_jax.common.signal import to_image
from repose_jax.models.model_config import ObjectiveConfig
from repose_jax.models.painting_loss import (
    PaintingObjective, adversarial_terms, alignment_terms, picture_terms, pixel_weights, repaint_term)
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import SampleConfig
from repose_jax.networks.discriminator import Discriminator
from repose_jax.networks.painter import Painting
from repose_jax.networks.rpa import Alignment, Trace
from repose_jax.pose.maps import map_count, person_map
from repose_jax.pose.skeleton import MARKET14
from repose_jax.tasks import painter as painter_task, pose_transfer as pose_task


class TestLosses:
    person = person_map(poses(3), MARKET14, SIZE)
    weight = pixel_weights(person, person, PaintingObjective())

    def test_nothing_is_lost_where_all_is_right(self):
        still = jnp.zeros((2, *SIZE, 2))
        step = Trace(0, still[:, ::2, ::2], still[:, ::2, ::2, :1])
        alignment = Alignment({}, SOURCE, still, (step,))
        terms = picture_terms(SOURCE, SOURCE, self.weight, PaintingObjective())
        terms |= alignment_terms(alignment, SOURCE, SOURCE, self.person, PaintingObjective())
        assert set(terms) == {"l1", "gradient", "align", "smooth"}
        for value in terms.values():
            assert float(value) == pytest.approx(0, abs=1e-6)

    def test_a_constant_error_costs_itself_and_has_no_gradient(self):
        terms = picture_terms(SOURCE + 0.25, SOURCE, self.weight, PaintingObjective())
        assert float(terms["l1"]) == pytest.approx(0.25, rel=1e-4)
        assert float(terms["gradient"]) == pytest.approx(0, abs=1e-5)

    def test_who_is_there_and_who_has_left_weigh_more(self):
        there, left = jnp.zeros((1, 2, 2, 1)).at[:, 0].set(1.0), jnp.zeros((1, 2, 2, 1))
        left = left.at[:, :, 0].set(1.0)
        plain, scene = (pixel_weights(there, left, PaintingObjective(vacated=vacated))
                        for vacated in (0.0, 4.0))
        np.testing.assert_allclose(plain[0, :, :, 0], np.array([[3, 3], [1, 1]]) / 2)
        np.testing.assert_allclose(scene[0, :, :, 0], np.array([[3, 3], [5, 1]]) / 3)

    def test_only_what_is_painted_anew_has_a_price(self):
        """Its share under the weights: free where the source or the place is kept."""
        kept, half = jnp.ones((1, 2, 2, 1)), jnp.full((1, 2, 2, 1), 0.5)
        picture = jnp.zeros((1, 2, 2, 3))
        weight = jnp.array([1.5, 1.5, 0.5, 0.5]).reshape(1, 2, 2, 1)
        price = PaintingObjective(repaint=0.4)

        def cost(mask, scene):
            return float(repaint_term(Painting(picture=picture, mask=mask, scene=scene), weight, price))

        assert cost(kept, 0 * kept) == cost(0 * kept, kept) == cost(half, half) == 0
        assert cost(half, 0 * half) == pytest.approx(0.2)
        assert cost(kept.at[:, 0].set(0), 0 * kept) == pytest.approx(0.4 * 0.75)

    def test_heads_and_what_the_source_hides_may_be_painted_anew(self):
        """As far as the true flow tells: of photos it is not known."""
        batch = {"flow": jnp.zeros((1, 2, 2, 2)).at[0, 0].set(3.0),
                 "seen": jnp.zeros((1, 2, 2), bool).at[0, 0, 0].set(True)}
        head = jnp.zeros((1, 2, 2, 1)).at[0, 1, 1].set(0.75)
        np.testing.assert_allclose(painter_task.shown_by(batch, head)[0, ..., 0], [[1, 0], [1, 0.25]])
        np.testing.assert_allclose(painter_task.shown_by({}, head), 1 - head)

    def test_only_photos_are_asked_for_in_the_source_s_place(self):
        source, target = normal(1, 2, *SIZE, 3), normal(2, 2, *SIZE, 3)
        pose = jnp.zeros((2, 14, 3))  # nobody anywhere: all is place
        person = jnp.zeros((2, *SIZE, 1))
        poses = {"source_pose": pose, "target_pose": pose}
        seen = jnp.zeros((2, *SIZE), bool).at[0, 3, 4].set(True)
        answer, shows = painter_task.answer_in_place(
            {**poses, "seen": seen}, source, target, person, MARKET14)
        np.testing.assert_array_equal(answer[0], target[0])
        np.testing.assert_allclose(answer[1], source[1], atol=1e-5)
        np.testing.assert_allclose(shows, 1)
        photos, _ = painter_task.answer_in_place(poses, source, target, person, MARKET14)
        np.testing.assert_allclose(photos, source, atol=1e-5)

    @pytest.mark.parametrize("dropped", [0.0, 1.0])
    def test_a_denoiser_may_learn_the_source_s_place(self, dropped):
        """Where no pose says that anybody stands anywhere, all is place: the answer is the source; and
        without a source it is the target."""
        model, asked = RePoseModel(SCENE), ObjectiveConfig(drop_source=min(dropped, 0.5))
        objective = dataclasses.replace(asked, drop_both=0.5 if dropped else 0.0)
        given, nobody = random_params(model), jnp.zeros((2, 14, 3))
        source, target = (to_image(normal(seed, 2, *SIZE, 3) / 4) for seed in (1, 2))
        keys = jax.random.split(jax.random.key(0), 2)

        compiled = jax.jit(lambda params, batch, keys, objective: model.loss(
            params, batch, keys, objective, train=False)[0], static_argnums=3)

        def loss(answer, objective):
            batch = {"source": source, "target": answer, "source_pose": nobody, "target_pose": nobody}
            return float(compiled(given, batch, keys, objective))

        kept = loss(target, dataclasses.replace(objective, keep_place=True))
        assert kept == pytest.approx(loss(target if dropped else source, objective), rel=1e-5)
        assert kept != pytest.approx(loss(source if dropped else target, objective), rel=1e-3)

    def test_a_place_is_asked_only_of_a_painter_that_keeps_one(self):
        sample = SampleConfig(steps=2)
        for experiment, objective in ((painter_task.PainterExperiment, PaintingObjective),
                                      (pose_task.ExperimentConfig, ObjectiveConfig)):
            experiment(model=SCENE, objective=objective(keep_place=True), sample=sample)
            with pytest.raises(UserError, match="objective.keep_place.*cannot keep a place"):
                experiment(model=CONFIG, objective=objective(keep_place=True), sample=sample)

    def test_later_iterations_weigh_more(self):
        """An error of the last of two flows costs more than the same error of the first."""
        still = jnp.zeros((2, *SIZE, 2))
        wrong = still + jnp.array([0.3, 0.0])
        mask = still[..., :1]

        def cost(*flows):
            trace = tuple(Trace(0, flow, mask) for flow in flows)
            return float(alignment_terms(Alignment({}, SOURCE, still, trace), SOURCE, SOURCE,
                                         self.person, PaintingObjective(smooth=0))["align"])

        assert cost(still, wrong) * PaintingObjective().decay == pytest.approx(
            cost(wrong, still), rel=1e-4)
        assert cost(wrong, still) > 0.01

    def test_one_gradient_moves_each_side_by_its_own_loss(self):
        objective = PaintingObjective(adversarial=0.5, match=0.25)
        maps = normal(7, 2, 8, 4, map_count(MARKET14))
        alignment = Alignment({}, SOURCE, jnp.zeros((2, *SIZE, 2)), ())
        painted, target = normal(8, 2, *SIZE, 3), normal(9, 2, *SIZE, 3)
        judge = Discriminator()
        theirs = jax.jit(judge.init)(jax.random.key(0), painted, SOURCE, maps)["params"]

        def both(theirs, painted):
            terms = adversarial_terms(theirs, painted, target, alignment, maps, objective)
            return sum(terms.values())

        def game(theirs, painted):
            false, features = judge.apply({"params": theirs}, painted, SOURCE, maps)
            true, real = judge.apply({"params": theirs}, target, SOURCE, maps)
            hinge = jnp.mean(jax.nn.relu(1 + false)) + jnp.mean(jax.nn.relu(1 - true))
            match = sum(jnp.mean(jnp.abs(a - b)) for a, b in zip(features, real))
            return hinge, -0.5 * jnp.mean(false) + 0.25 * match

        for_theirs, for_ours = jax.jit(jax.grad(both, argnums=(0, 1)))(theirs, painted)
        want_theirs = jax.jit(jax.grad(lambda p: game(p, painted)[0]))(theirs)
        want_ours = jax.jit(jax.grad(lambda x: game(theirs, x)[1]))(painted)
        np.testing.assert_allclose(for_ours, want_ours, atol=1e-6)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), for_theirs,
                     want_theirs)
        assert float(jnp.abs(for_ours).max()) > 1e-5

    def test_impossible_weights_are_refused(self):
        for wrong in ({"match": -1.0}, {"decay": 0.0}, {"adversarial": float("nan")}):
            with pytest.raises(UserError, match="objective"):
                PaintingObjective(**wrong)

    @pytest.mark.parametrize("asked, named", [({"adversarial": 0.1}, "discriminator"),
                                              ({"realism": 0.1}, "critic")])
    def test_judges_learn_beside_the_painter_and_are_not_kept(self, asked, named):
        task = painter_task.PainterExperiment(
            model=SCENE, objective=PaintingObjective(**asked), sample=SampleConfig(steps=0)).task()
        shapes = jax.eval_shape(task.init, jax.random.key(0))
        trained = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)
        assert set(trained) == {"encoder", "alignment", "painter", named}
        assert set(task.finish(trained)) == {"encoder", "alignment", "painter", "unet"}
