"""The pose interaction field: what it may depend on, its gradient, its training, its scores."""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from heard import Heard
from repose_jax.common.errors import UserError
from repose_jax.data.config import DataConfig
from repose_jax.evaluation.metrics.auroc import auroc
from repose_jax.evaluation.metrics.field import evaluate_field
from repose_jax.models.weights import load_field
from repose_jax.networks.pif import FieldConfig, PoseField, fresh_field, project
from repose_jax.pose.bones import bones_of, valid_poses
from repose_jax.pose.skeleton import MARKET14, SKELETONS
from repose_jax.tasks.fit import fit
from repose_jax.tasks.pose_field import FieldBatches, FieldExperiment, wrong_poses
from repose_jax.training.config import LoopConfig
from repose_jax.training.state import OptimizerConfig

SMALL = FieldConfig(features=4, width=16, depth=2)
MODULE = PoseField(SMALL)


def standing(count: int, seed: int = 0) -> np.ndarray:
    """People who stand upright with their arms hanging, a little different from each other."""
    rng = np.random.default_rng(seed)
    x = [32, 32, 24, 22, 21, 40, 42, 43, 27, 27, 27, 37, 37, 37]
    y = [8, 24, 26, 44, 60, 26, 44, 60, 62, 88, 112, 62, 88, 112]
    pose = np.ones((count, 14, 3), np.float32)
    pose[..., :2] = np.stack([x, y], -1) + rng.normal(0, 1.5, (count, 14, 2))
    return pose


@pytest.fixture(scope="module")
def params():
    shapes = jax.eval_shape(fresh_field(SMALL), jax.random.key(0))
    leaves, tree = jax.tree.flatten(shapes)
    rng = np.random.default_rng(0)
    return jax.tree.unflatten(
        tree, [jnp.asarray(0.3 * rng.normal(size=x.shape), jnp.float32) for x in leaves])


@jax.jit
def _of_pose(params, pose):
    return MODULE.apply({"params": params}, pose, method="of_pose")


class TestPoseField:
    def test_place_and_scale_drop_out(self, params):
        pose = standing(3)
        moved = (pose * [2.5, 2.5, 1] + [9, -30, 0]).astype(np.float32)
        a, b = _of_pose(params, pose), _of_pose(params, moved)
        np.testing.assert_allclose(a.distance, b.distance, atol=1e-5)
        np.testing.assert_allclose(a.offset, b.offset, atol=1e-5)

    def test_a_missing_joint_has_no_influence(self, params):
        pose = standing(3)
        pose[:, 4, 2] = 0
        other = pose.copy()
        other[:, 4, :2] = -500
        np.testing.assert_array_equal(_of_pose(params, pose).distance,
                                      _of_pose(params, other).distance)
        wrist = MARKET14.limbs.index(("right_elbow", "right_wrist"))
        assert (_of_pose(params, pose).offset[:, wrist] == 0).all()

    def test_influence_fades_with_visibility(self, params):
        """A wrist that is nearly hidden hardly matters, and the limit is the hidden wrist."""
        pose = standing(3)
        changes = []
        for visible in (1.0, 0.1, 0.01, 0.0):
            pose[:, 4, 2] = visible
            bent = pose.copy()
            bent[:, 4, 1] -= 40
            a, b = (_of_pose(params, p).distance for p in (pose, bent))
            changes.append(float(np.abs(a - b).max()))
        assert changes[0] > changes[1] > changes[2] > changes[3] == 0

    def test_does_not_see_its_neighbours(self, params):
        pose = standing(4)
        np.testing.assert_allclose(_of_pose(params, pose).distance[2:3],
                                   _of_pose(params, pose[2:3]).distance, atol=1e-6)

    def test_never_negative(self, params):
        unit = np.random.default_rng(0).normal(size=(200, 13, 2)).astype(np.float32)
        unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
        out = jax.jit(MODULE.apply)({"params": params}, unit, np.ones((200, 13), np.float32))
        assert (out.distance >= 0).all()

    def test_gradient_is_that_of_finite_differences(self, params):
        pose = jnp.asarray(standing(1))
        gradient = jax.grad(lambda p: _of_pose(params, p).distance.sum())(pose)
        for joint, axis in ((4, 0), (10, 1), (0, 0)):
            step = jnp.zeros_like(pose).at[0, joint, axis].set(0.25)
            high, low = (_of_pose(params, pose + s * step).distance[0] for s in (1, -1))
            assert float(gradient[0, joint, axis]) == pytest.approx(
                float(high - low) / 0.5, rel=0.05, abs=2e-5)

    @pytest.mark.parametrize("name", SKELETONS)
    def test_every_skeleton(self, name):
        config = dataclasses.replace(SMALL, skeleton=name)
        made = jax.eval_shape(fresh_field(config), jax.random.key(0))
        pose = jax.ShapeDtypeStruct((2, len(SKELETONS[name]), 3), jnp.float32)
        offset = jax.eval_shape(lambda params, pose: PoseField(config).apply(
            {"params": params}, pose, method="of_pose").offset, made, pose)
        assert offset.shape == (2, len(SKELETONS[name].limbs), 2)


def test_projection_reaches_a_field_whose_manifold_is_known():
    """f = mean |u - v| for a fixed v: following the gradient of a distance ends at v."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(-np.pi, np.pi, (2, 5, 13))
    start, goal = np.stack([np.cos(angle), np.sin(angle)], -1)
    goal = jnp.asarray(start + 0.5 * (goal - start), jnp.float32)
    goal = goal / jnp.linalg.norm(goal, axis=-1, keepdims=True)

    def field(u):
        return jnp.sqrt(jnp.sum((u - goal) ** 2, axis=(1, 2)) + 1e-9)

    unit = project(field, jnp.asarray(start, jnp.float32), 30)
    assert float(field(unit).max()) < 0.02 * float(field(jnp.asarray(start)).min())
    np.testing.assert_allclose(jnp.linalg.norm(unit, axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("seed", [0, 1])
def test_auroc_is_the_share_of_pairs(seed):
    rng = np.random.default_rng(seed)
    low, high = rng.integers(0, 8, 30), rng.integers(2, 10, 25)
    wins = (high[None] > low[:, None]) + 0.5 * (high[None] == low[:, None])
    assert auroc(low, high) == pytest.approx(wins.mean())
    weights = rng.integers(0, 3, 30), rng.integers(0, 3, 25)
    assert auroc(low, high, *weights) == pytest.approx(
        auroc(np.repeat(low, weights[0]), np.repeat(high, weights[1])))
    assert auroc(np.zeros(3), np.ones(4)) == 1 and auroc(np.ones(3), np.ones(4)) == 0.5


def run(config, folder, **options):
    return fit(config.task(), folder, **options)


def experiment(total: int = 4096, **changes) -> FieldExperiment:
    changes = {"negatives": 60} | changes
    return FieldExperiment(
        field=SMALL, data=DataConfig(path="people", identities=4, views=3),
        train=LoopConfig(
            total_images=total, batch_size=128, log_every_images=512,
            checkpoint_every_images=1024, sample_every_images=0,
            optimizer=OptimizerConfig(learning_rate=3e-3)), **changes)


class TestTraining:
    def test_labels_are_distances_to_the_valid_poses(self):
        config, valid = experiment(), valid_poses(standing(12), MARKET14)
        wrong = wrong_poses(config, valid, MARKET14, standing(5, seed=3))
        assert len(valid) == 24 and np.isfinite(wrong.distance).all()
        assert (wrong.distance[-5:] < 0.2).all() and wrong.distance.max() > 0.8
        # A pose whose bones move by the offset is nearer to the valid ones, mostly at 0.
        moved = wrong.unit + wrong.offset
        at = (wrong.visible > 0)[..., None]
        best = np.array([np.abs((moved[i] - bones_of(valid, MARKET14)[0]) * at[i]).max((1, 2)).min()
                         for i in range(0, len(moved), 37)])
        assert np.median(best) < 1e-5

    def test_curriculum_goes_from_far_to_near_to_valid(self):
        config, valid = experiment(), valid_poses(standing(12), MARKET14)
        stream = FieldBatches(config, valid, wrong_poses(config, valid, MARKET14, None), MARKET14)
        labels = [next(stream)["distance"] for _ in range(4096 // 128)]
        first, last = labels[0], labels[-1]
        assert first.min() >= config.far
        assert config.near <= labels[9].min() < config.far
        assert (last == 0).sum() == 128 // 3

    @pytest.mark.slow
    def test_learns_and_resumes(self, tmp_path):
        """The run in two parts equals the run in one, and both tell standing from nonsense."""
        config = experiment()
        config = dataclasses.replace(
            config, field=dataclasses.replace(SMALL, skeleton="openpose18"))
        whole = load_field(run(config, tmp_path / "whole"))

        def stop(name, facts):
            if name == "checkpoint" and facts["images"] == 2048:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(config, tmp_path / "parts", events=Heard(stop))
        parts = load_field(run(config, tmp_path / "parts"))
        for a, b in zip(jax.tree.leaves(whole.params), jax.tree.leaves(parts.params), strict=True):
            np.testing.assert_array_equal(a, b)
        labels = list((tmp_path / "whole").glob("wrong-poses-*.npz"))
        assert len(labels) == 1 and whole.facts["wrong"] > 500

        changed = dataclasses.replace(config, negatives=61)
        with pytest.raises(UserError, match="poses"):
            run(changed, tmp_path / "whole")

    def test_guesses_must_be_poses(self, tmp_path):
        np.savez(tmp_path / "g.npz", poses=np.zeros((3, 5, 3)))
        config = dataclasses.replace(
            experiment(guesses=str(tmp_path / "g.npz")),
            field=dataclasses.replace(SMALL, skeleton="openpose18"))
        with pytest.raises(UserError, match=r"g\.npz"):
            run(config, tmp_path / "run")

    @pytest.mark.parametrize("changes", [{"stages": (0.5, 0.2)}, {"near": 0.6}, {"negatives": 0}])
    def test_nonsense_is_refused(self, changes):
        with pytest.raises(UserError):
            experiment(**changes)


@pytest.mark.slow
def test_a_field_that_is_the_true_distance_scores_perfectly():
    """Scores of a made-up field: exact distances give Spearman 1 and AUROC 1 against nonsense."""
    poses, valid = standing(24), valid_poses(standing(30, seed=5), MARKET14)
    reference = bones_of(valid, MARKET14)

    class Exact(nn.Module):
        def __call__(self, unit, visible):
            from repose_jax.networks.pif import FieldOutput
            from repose_jax.pose.neighbours import pose_distances
            table = pose_distances(unit, visible, *map(jnp.asarray, reference))
            return FieldOutput(jnp.sort(table, axis=1)[:, :5].mean(1), unit)

    scores = evaluate_field(Exact(), {}, poses, np.arange(24) // 2, valid, MARKET14,
                            lambda p: bones_of(p, MARKET14))
    assert scores.spearman.value == pytest.approx(1, abs=1e-3)
    assert scores.corruptions["upside down"]["auroc"].value == 1
    assert scores.corruptions["scaled"]["auroc"].value == pytest.approx(0.5, abs=0.01)
    assert scores.projection["von Mises 2"]["relative"].high < -0.3
    assert "upside down" in scores.markdown() and scores.to_dict()["conditions"]["poses"] == 24
