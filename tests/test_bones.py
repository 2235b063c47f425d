"""Bones, their neighbours and their corruptions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from sklearn.neighbors import NearestNeighbors

from repose_jax.pose.bones import bone_parents, bone_vectors, joint_offsets, with_bones
from repose_jax.pose.corruptions import CORRUPTIONS, mirrored, scaled, swapped, von_mises
from repose_jax.pose.neighbours import nearest_poses, pose_distances
from repose_jax.pose.skeleton import MARKET14, SKELETONS, Skeleton

EVERY = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=list(SKELETONS))


def random_poses(count: int, skeleton: Skeleton = MARKET14, seed: int = 0, hidden: float = 0.0):
    rng = np.random.default_rng(seed)
    pose = np.ones((count, len(skeleton), 3), np.float32)
    pose[..., :2] = rng.uniform(0, 60, pose[..., :2].shape)
    pose[rng.random(pose.shape[:2]) < hidden] = 0
    return pose


def bones_of(pose, skeleton: Skeleton = MARKET14):
    unit, _, visible = bone_vectors(jnp.asarray(pose), skeleton)
    return np.asarray(unit), np.asarray(visible)


class TestBones:
    @EVERY
    def test_parents_end_where_their_children_start(self, skeleton):
        parents, ends = bone_parents(skeleton), skeleton.limb_indices
        assert len(parents) == len(ends)
        for bone, parent in enumerate(parents):
            if parent >= 0:
                assert ends[parent, 1] == ends[bone, 0]
            seen = set()
            while parent >= 0:
                assert parent not in seen, "a ring"
                seen.add(parent)
                parent = parents[parent]

    def test_arms_hang_on_the_trunk(self):
        parents = bone_parents(MARKET14)
        name = [MARKET14.joints[end] for _, end in MARKET14.limb_indices]
        wrist, elbow = name.index("left_wrist"), name.index("left_elbow")
        assert parents[wrist] == elbow and name[parents[elbow]] == "left_shoulder"

    def test_a_ring_of_limbs_is_cut(self):
        ring = Skeleton(name="ring", joints=("a", "b", "c"), torso=("a", "b", "c", "a"),
                        limbs=(("a", "b"), ("b", "c"), ("c", "a")))
        assert sorted(bone_parents(ring)).count(-1) == 1
        assert np.isfinite(joint_offsets(jnp.ones((1, 3, 2)), jnp.ones((1, 3)), ring)).all()

    @EVERY
    def test_place_and_scale_drop_out(self, skeleton):
        pose = random_poses(5, skeleton)
        moved = pose * [3, 3, 1] + [7, -4, 0]
        for a, b in zip(bones_of(pose, skeleton), bones_of(moved.astype(np.float32), skeleton)):
            np.testing.assert_allclose(a, b, atol=1e-5)
        unit, _ = bones_of(pose, skeleton)
        np.testing.assert_allclose(np.linalg.norm(unit, axis=-1), 1, atol=1e-5)

    def test_a_hidden_joint_has_no_influence(self):
        pose = random_poses(3)
        pose[:, 4, 2] = 0
        other = pose.copy()
        other[:, 4, :2] = 1e6
        for a, b in zip(bones_of(pose), bones_of(other)):
            np.testing.assert_array_equal(a, b)
        gradient = jax.jit(jax.grad(lambda p: bone_vectors(p, MARKET14)[0].sum()))(jnp.asarray(pose))
        assert (gradient[:, 4] == 0).all() and np.isfinite(gradient).all()

    def test_a_bone_without_length_is_hidden_and_its_gradient_finite(self):
        pose = random_poses(2)
        pose[:, 1] = pose[:, 0]
        unit, visible = bones_of(pose)
        bone = MARKET14.limbs.index(("neck", "head_top"))
        assert (unit[:, bone] == 0).all() and (visible[:, bone] == 0).all()
        gradient = jax.jit(jax.grad(lambda p: bone_vectors(p, MARKET14)[0].sum()))(jnp.asarray(pose))
        assert np.isfinite(gradient).all()

    @EVERY
    def test_offsets_lead_to_the_bones_asked_for(self, skeleton):
        """A tree's bones can point anywhere; in a ring the one that closes it gives way."""
        pose, other = random_poses(4, skeleton), random_poses(4, skeleton, seed=1)
        wanted, _ = bones_of(other, skeleton)
        unit, visible = bones_of(with_bones(pose, wanted, skeleton), skeleton)
        free = [b for b in range(len(skeleton.limbs)) if b in bone_parents(skeleton)
                or list(skeleton.limb_indices[:, 1]).count(skeleton.limb_indices[b, 1]) == 1]
        assert len(free) >= len(skeleton.limbs) - 4
        np.testing.assert_allclose(unit[:, free], wanted[:, free], atol=1e-4)
        _, length, _ = bone_vectors(jnp.asarray(pose), skeleton)
        _, kept, _ = bone_vectors(jnp.asarray(with_bones(pose, wanted, skeleton)), skeleton)
        np.testing.assert_allclose(kept[:, free], length[:, free], rtol=1e-4)


class TestNeighbours:
    def test_equal_to_scikit_learn(self):
        """With every bone visible the distance is a metric that a library can search by."""
        query, _ = bones_of(random_poses(40))
        reference, _ = bones_of(random_poses(300, seed=1))

        def metric(a, b):
            return np.linalg.norm(a.reshape(-1, 2) - b.reshape(-1, 2), axis=-1).mean()

        search = NearestNeighbors(n_neighbors=5, metric=metric, algorithm="brute").fit(
            reference.reshape(300, -1))
        distance, index = search.kneighbors(query.reshape(40, -1))
        ones = np.ones(query.shape[:2], np.float32), np.ones(reference.shape[:2], np.float32)
        found = nearest_poses(query, ones[0], reference, ones[1], at_once=16)
        np.testing.assert_allclose(found.distance, distance.mean(1), atol=1e-5)
        np.testing.assert_array_equal(found.nearest, index[:, 0])

    def test_only_shared_bones_count(self):
        query, seen = bones_of(random_poses(6, hidden=0.2))
        reference, shown = bones_of(random_poses(9, seed=1, hidden=0.2))
        table = np.asarray(pose_distances(query, seen, reference, shown))
        for i in range(6):
            for j in range(9):
                both = (seen[i] > 0) & (shown[j] > 0)
                if both.sum() < 0.75 * (seen[i] > 0).sum() or not both.any():
                    assert np.isinf(table[i, j])
                else:
                    each = np.linalg.norm(query[i] - reference[j], axis=-1)[both]
                    assert table[i, j] == pytest.approx(each.mean(), abs=1e-5)

    def test_a_pose_is_its_own_neighbour(self):
        unit, visible = bones_of(random_poses(30))
        found = nearest_poses(unit, visible, unit, visible, k=1)
        np.testing.assert_allclose(found.distance, 0, atol=1e-6)
        np.testing.assert_array_equal(found.nearest, np.arange(30))


class TestCorruptions:
    @pytest.mark.parametrize("kappa", [0.5, 2.0, 8.0])
    def test_von_mises_noise_has_its_spread(self, kappa):
        pose = random_poses(400)
        unit, _ = bones_of(pose)
        turned, _ = bones_of(von_mises(pose, MARKET14, np.random.default_rng(0), kappa))
        cosine = (unit * turned).sum(-1)
        expected = scipy.stats.vonmises(kappa).expect(np.cos, lb=-np.pi, ub=np.pi)
        assert cosine.mean() == pytest.approx(expected, abs=0.03)

    def test_von_mises_noise_keeps_lengths(self):
        pose = random_poses(20)
        noisy = von_mises(pose, MARKET14, np.random.default_rng(0), 1.0)
        lengths = [bone_vectors(jnp.asarray(p), MARKET14)[1] for p in (pose, noisy)]
        np.testing.assert_allclose(*lengths, rtol=1e-4)

    def test_exchanged_joints_change_places(self):
        pose = random_poses(3)
        out = swapped(pose, MARKET14, np.random.default_rng(0), ("wrist",))
        left, right = MARKET14.index("left_wrist"), MARKET14.index("right_wrist")
        np.testing.assert_array_equal(out[:, left], pose[:, right])
        rest = [j for j in range(14) if j not in (left, right)]
        np.testing.assert_array_equal(out[:, rest], pose[:, rest])

    def test_scale_cannot_be_seen_and_a_mirror_can(self):
        pose, rng = random_poses(10), np.random.default_rng(0)
        same, _ = bones_of(scaled(pose, MARKET14, rng))
        flipped, _ = bones_of(mirrored(pose, MARKET14, rng))
        unit, _ = bones_of(pose)
        np.testing.assert_allclose(same, unit, atol=1e-4)
        np.testing.assert_allclose(flipped, unit * [-1, 1], atol=1e-4)

    @pytest.mark.parametrize("name", CORRUPTIONS)
    @EVERY
    def test_what_is_hidden_stays_hidden(self, name, skeleton):
        pose = random_poses(8, skeleton, hidden=0.3)
        out = CORRUPTIONS[name](pose, skeleton, np.random.default_rng(0))
        assert out.shape == pose.shape and np.isfinite(out).all()
        assert ((out[..., 2] > 0).sum(1) == (pose[..., 2] > 0).sum(1)).all()
        assert (out[out[..., 2] == 0] == 0).all()
