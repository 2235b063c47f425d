"""The re-identification network: its loss, its moments, its training and its scores."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.data.config import DataConfig
from repose_jax.evaluation.evaluators.reid import score_reid
from repose_jax.evaluation.metrics.retrieval import rank
from repose_jax.models.weights import load_reid
from repose_jax.networks.reid import ReidConfig, ReidNetwork, cross_entropy, fresh_reid
from repose_jax.tasks.fit import fit
from repose_jax.tasks.reid import (
    PeopleBatches, Pictures, ReidExperiment, ReidTask, moments, with_generated)
from repose_jax.tasks.reid_augment import augmented, erased, mirrored, recolored, shifted
from repose_jax.training.config import LoopConfig
from repose_jax.training.state import OptimizerConfig

SMALL = ReidConfig(image_size=(32, 16), people=4, channels=(8, 16), blocks=1, parts=2,
                   embedding=8, groups=4)


@pytest.fixture(scope="module")
def pictures():
    """Eight people, each a colour of its own, five noisy pictures each."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(8), 5).astype(np.int32)
    color = rng.integers(40, 215, (8, 1, 1, 3))
    images = np.clip(color[person] + rng.integers(-30, 30, (40, 32, 16, 3)), 0, 255)
    return Pictures(lambda i: images[i].astype(np.uint8), person, 40)


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    experiment = ReidExperiment(reid=SMALL, per_person=2, train=LoopConfig(
        total_images=1600, batch_size=16, ema_decay=0.9,
        optimizer=OptimizerConfig(learning_rate=3e-3, warmup_images=160)))
    return fit(ReidTask(experiment, pictures=pictures), tmp_path_factory.mktemp("reid"))


class TestNetwork:
    def test_moments_standardise(self, pictures):
        network, params = ReidNetwork(SMALL), jax.jit(fresh_reid(SMALL))(jax.random.key(0))
        params = params | moments(network, params, pictures, at_once=16)
        images = jnp.stack([pictures.read(i) for i in range(40)]) / 127.5 - 1
        run = jax.jit(lambda images: network.apply({"params": params}, images))
        features = run(images).features
        np.testing.assert_allclose(features.mean(0), 0, atol=1e-3)
        np.testing.assert_allclose(features.std(0), 1, atol=1e-2)
        alone = run(images[7:8])
        np.testing.assert_allclose(alone.features[0], features[7], atol=1e-3)
        assert (jnp.abs(alone.cosines) <= 1 + 1e-5).all()

    def test_in_training_the_stored_moments_do_not_matter(self):
        network, params = ReidNetwork(SMALL), jax.jit(fresh_reid(SMALL))(jax.random.key(0))
        images = jax.random.uniform(jax.random.key(1), (6, 32, 16, 3), minval=-1)

        def loss(params):
            return network.apply({"params": params}, images, train=True).cosines.sum()

        gradient = jax.jit(jax.grad(loss))(params)
        assert not gradient["mean"].any() and not gradient["deviation"].any()
        assert jnp.abs(gradient["people"]).max() > 0

    def test_cross_entropy_is_that_of_the_definition(self):
        cosines = jnp.array([[0.9, -0.2, 0.1], [0.0, 0.0, 0.0]])
        found = cross_entropy(cosines, jnp.array([0, 2]))
        logits = 20 * np.asarray(cosines, np.float64)
        log = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        target = np.full((2, 3), 0.1 / 3) + 0.9 * np.eye(3)[[0, 2]]
        np.testing.assert_allclose(found, -(target * log).sum(1), rtol=1e-5)
        np.testing.assert_allclose(found[1], np.log(3), rtol=1e-6)

    def test_a_margin_lowers_the_right_cosine_alone(self):
        cosines, right = jnp.array([[0.9, -0.2, 0.1], [0.3, 0.0, 0.5]]), jnp.array([0, 2])
        lowered = cosines.at[[0, 1], right].add(-0.25)
        np.testing.assert_allclose(cross_entropy(cosines, right, 0.25), cross_entropy(lowered, right),
                                   rtol=1e-6)
        assert cross_entropy(cosines, right, 0.25)[1] > cross_entropy(cosines, right)[1]


class TestPictures:
    def test_batches_are_of_a_few_each_and_resume(self, pictures):
        make = lambda: PeopleBatches(pictures, batch_size=6, per_person=3, seed=1)  # noqa: E731
        batches = make()
        first, second = next(batches), next(batches)
        assert sorted(np.unique(first["person"], return_counts=True)[1]) == [3, 3]
        other = make()
        other.set_state({"next_batch": 1})
        np.testing.assert_array_equal(next(other)["image"], second["image"])
        with pytest.raises(UserError, match="asks for 9 people"):
            PeopleBatches(pictures, batch_size=9, per_person=1, seed=0)

    def test_generated_pictures_come_after_the_real(self, pictures):
        made = np.full((2, 32, 16, 3), 7, np.uint8)
        both = with_generated(pictures, made, np.array([1, 3], np.int32))
        assert both.real == 40 and len(both.person) == 42 and list(both.person[-2:]) == [1, 3]
        assert (both.read(41) == 7).all() and (both.read(0) == pictures.read(0)).all()


class TestAugmentation:
    image = jnp.linspace(-1, 1, 32 * 16 * 3).reshape(32, 16, 3)

    def test_each_step_does_what_it_says(self):
        def each(change, *more):
            return jax.jit(jax.vmap(change, (None, 0, *more)))

        keys = jax.random.split(jax.random.key(0), 40)
        flips = each(mirrored)(self.image, keys)
        same = (flips == self.image).all((1, 2, 3))
        assert same.any() and ((flips == self.image[:, ::-1]).all((1, 2, 3)) | same).all()
        moved = each(shifted)(self.image, keys)
        assert (moved[:, 8, 8] != self.image[8, 8]).any()
        assert set(np.unique(moved)) <= set(np.unique(self.image))
        erase = each(erased, None)
        holes = (erase(self.image, keys, 1.0) == 0).all(-1)
        share = holes.mean((1, 2))
        assert (share > 0.01).all() and (share < 0.45).all()
        untouched = erase(self.image, keys, 0.0)
        assert (untouched == self.image).all()
        colored = each(recolored)(self.image, keys)
        assert jnp.abs(colored).max() <= 1 and jnp.abs(colored - self.image).max() < 0.5

    def test_pictures_are_changed_one_by_one(self):
        images, keys = jnp.stack([self.image] * 3), jax.random.split(jax.random.key(1), 3)
        all_three = jax.jit(augmented)(images, keys)
        alone = jax.jit(augmented)(images[1:2], keys[1:2])[0]
        np.testing.assert_allclose(alone, all_three[1], atol=1e-6)
        assert not jnp.allclose(all_three[0], all_three[1])


class TestTraining:
    def test_it_learns_to_tell_people_apart(self, trained, pictures):
        weights = load_reid(trained)
        assert weights.config.people == 8 and weights.facts["real"] == 40
        images = jnp.stack([pictures.read(i) for i in range(40)]) / 127.5 - 1
        features = np.asarray(jax.jit(ReidNetwork(weights.config).apply)(
            {"params": weights.params}, images).features)
        others = lambda some: np.eye(40, dtype=bool)[some]  # noqa: E731
        ranking = rank(features, features, pictures.person, pictures.person, others)
        assert ranking.found_within(1).mean() > 0.8  # by chance it would be a tenth

    def test_scores_on_test_people(self, market, trained):
        scores = score_reid(load_reid(trained), DataConfig(path=str(market)))
        assert scores.conditions["queries"] == 12 and scores.conditions["people"] == 4
        assert 0 <= scores.found[1].value <= scores.found[5].value <= 1
        assert "12 queries, 12 pictures of 4 people" in scores.markdown()

    def test_evaluate_command(self, market, trained, tmp_path, capsys):
        assert main(["evaluate", "--model", str(trained), "--data", str(market), "--output",
                     str(tmp_path / "r.json")]) == 0
        assert "rank-1" in capsys.readouterr().out
        assert json.loads((tmp_path / "r.json").read_text())["precision"]["value"] >= 0


@pytest.mark.parametrize("changes,message", [
    ({"per_person": 5}, "divisor"),
    ({"reid": dataclasses.replace(SMALL, image_size=(30, 16))}, "image_size"),
    ({"reid": dataclasses.replace(SMALL, parts=3)}, "image_size"),
    ({"reid": dataclasses.replace(SMALL, channels=())}, "reid.channels: is empty")])
def test_an_experiment_that_cannot_be_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        ReidExperiment(**changes)
