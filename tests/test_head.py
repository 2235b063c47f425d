"""Where the head is, and what learns from it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repose_jax.models.painting_loss import PaintingObjective, pixel_weights, with_head
from repose_jax.models.perceptual_loss import close_up
from repose_jax.pose.head import Head, above_trunk, head_map, head_of
from repose_jax.pose.skeleton import COCO17, MARKET14, OPENPOSE18, Skeleton


def pose(skeleton: Skeleton, **joints: tuple[float, float]) -> jax.Array:
    made = np.zeros((len(skeleton), 3), np.float32)
    for name, place in joints.items():
        made[skeleton.index(name)] = *place, 1.0
    return jnp.array(made)


TRUNK = {"right_shoulder": (20.0, 50.0), "left_shoulder": (40.0, 50.0),
         "right_hip": (24.0, 90.0), "left_hip": (36.0, 90.0)}


@pytest.mark.parametrize("skeleton", [OPENPOSE18, COCO17])
def test_a_face_is_the_middle_of_its_joints(skeleton):
    found = head_of(pose(skeleton, nose=(31.0, 38.0), left_eye=(33.0, 36.0), **TRUNK), skeleton)
    np.testing.assert_allclose(found.centre, (32, 37))
    assert float(found.radius) == pytest.approx(0.35 * 40)


@pytest.mark.parametrize("skeleton", [OPENPOSE18, COCO17, MARKET14])
def test_from_behind_the_trunk_tells(skeleton):
    seen = pose(skeleton, **TRUNK)
    centre, trunk = above_trunk(seen, skeleton)
    np.testing.assert_allclose(centre, (30, 50 - 0.45 * 40))
    assert float(trunk) == 40
    np.testing.assert_allclose(head_of(seen, skeleton).centre, centre)


def test_a_head_s_top_is_not_its_middle():
    seen = pose(MARKET14, head_top=(30.0, 20.0), neck=(30.0, 44.0), **TRUNK)
    np.testing.assert_allclose(head_of(seen, MARKET14).centre, (30, 32))


def test_a_trunk_bent_towards_the_camera_makes_no_small_head():
    joints = TRUNK | {"right_hip": (24.0, 55.0), "left_hip": (36.0, 55.0)}
    assert float(head_of(pose(OPENPOSE18, nose=(30.0, 30.0), **joints), OPENPOSE18).radius) == (
        pytest.approx(0.8 * 20))


@pytest.mark.parametrize("joints", [{}, {"nose": (30.0, 30.0)}, {"right_knee": (30.0, 30.0)}])
def test_nowhere_is_no_head(joints):
    """A nose alone does not say how large its head is."""
    found = head_of(pose(OPENPOSE18, **joints), OPENPOSE18)
    assert float(found.radius) == 0 and not np.any(found.centre)
    assert not np.any(head_map(pose(OPENPOSE18, **joints), OPENPOSE18, (64, 32)))


def test_the_disc_is_one_within_half_at_its_edge_and_zero_beyond():
    seen = pose(OPENPOSE18, nose=(30.0, 30.0), **TRUNK)  # 16 pixels, by the neck
    found = np.asarray(head_map(seen, OPENPOSE18, (96, 64)))[..., 0]
    assert found.shape == (96, 64) and found[30, 30] == found[30, 42] == 1
    assert found[30, 46] == pytest.approx(0.5) and found[30, 50] == found[90, 30] == 0


def test_many_poses_are_read_as_one_by_one():
    both = [pose(OPENPOSE18, nose=(30.0, 30.0), **TRUNK), pose(OPENPOSE18)]
    found = head_map(jnp.stack(both), OPENPOSE18, (64, 64))
    for ours, one in zip(found, both, strict=True):
        np.testing.assert_array_equal(ours, head_map(one, OPENPOSE18, (64, 64)))


def test_a_close_up_of_its_own_size_is_the_picture_itself():
    x = jax.random.uniform(jax.random.key(0), (2, 16, 16, 3))
    head = Head(jnp.full((2, 2), 7.5), jnp.full((2,), 8 / 1.3))
    np.testing.assert_allclose(close_up(x, head, 16), x, atol=1e-5)


def test_a_close_up_follows_the_head_and_shows_all_at_one_size():
    """A ramp tells where each pixel came from."""
    ramp = jnp.broadcast_to(jnp.arange(64.0)[:, None, None], (64, 64, 1))
    x = jnp.stack([ramp, jnp.swapaxes(ramp, 0, 1)])
    head = Head(jnp.array([[20.0, 40.0], [20.0, 40.0]]), jnp.array([4.0, 8.0]))
    found = np.asarray(close_up(x, head, 32))
    places = (np.arange(32) - 15.5) / 32
    np.testing.assert_allclose(found[0, :, 5, 0], 40 + 2 * 1.3 * 4 * places, atol=1e-4)
    np.testing.assert_allclose(found[1, 5, :, 0], 20 + 2 * 1.3 * 8 * places, atol=1e-4)


def test_a_pixel_of_the_head_counts_more_than_one_of_the_body():
    head = jnp.zeros((1, 2, 2, 1)).at[0, 0, 0, 0].set(1.0)
    body = jnp.zeros((1, 2, 2, 1)).at[0, :, 0, 0].set(1.0)
    objective = PaintingObjective(person=2.0, head=3.0)
    weight = pixel_weights(with_head(body, head, objective), body, objective)[0, :, :, 0]
    np.testing.assert_allclose(weight / weight[0, 1], [[9, 1], [3, 1]], rtol=1e-6)
    # From behind no joint of a head is drawn among the body's.
    np.testing.assert_array_equal(with_head(0 * body, head, objective), 4 * head)
