"""Where the head is, and what learns from it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.models.laid_head import with_own_head
from repose_jax.models.model_config import ModelConfig
from repose_jax.models.painting_loss import PaintingObjective, pixel_weights, with_head
from repose_jax.models.perceptual_loss import close_up
from repose_jax.models.sample_config import SampleConfig
from repose_jax.networks.network import NetworkConfig
from repose_jax.pose.head import Head, has_face, head_map, head_of, rigid_head
from repose_jax.pose.head_frame import above_trunk
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


def test_above_the_disc_reaches_further_for_hair():
    """Away from the shoulders: at 1.4 times as far it is what the disc is, below it is the disc."""
    seen = pose(OPENPOSE18, nose=(30.0, 38.0), **TRUNK)
    plain, higher = (np.asarray(head_map(seen, OPENPOSE18, (96, 64), above))[..., 0]
                     for above in (1.0, 1.4))
    np.testing.assert_array_equal(higher[38:], plain[38:])
    np.testing.assert_allclose(higher[38 - 21, 30], plain[38 - 15, 30], atol=1e-5)
    assert plain[38 - 19, 30] < 0.1 and higher[38 - 19, 30] > 0.5


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


FACE = {"nose": (30.0, 34.0), "right_eye": (27.0, 31.0), "left_eye": (33.0, 31.0),
        "right_ear": (24.0, 32.0), "left_ear": (36.0, 32.0), "neck": (30.0, 48.0)}
SIZE = 96, 64


def moved(joints, turn=0.0, scale=1.0, shift=(0.0, 0.0)):
    """Joints turned about the picture's corner, scaled and shifted."""
    factor = scale * np.exp(1j * turn)
    places = {name: factor * complex(*place) + complex(*shift) for name, place in joints.items()}
    return {name: (place.real, place.imag) for name, place in places.items()}


@pytest.mark.parametrize("skeleton", [OPENPOSE18, COCO17])
def test_only_a_skeleton_with_face_and_neck_has_a_head_to_move(skeleton):
    assert has_face(skeleton) == (skeleton is OPENPOSE18) and not has_face(MARKET14)


def test_a_head_is_moved_by_the_similarity_that_moved_its_joints():
    """Where each pixel comes from is the inverse of a known turn, scale and shift."""
    turn, scale, shift = 0.3, 1.25, (4.0, -9.0)
    source, target = (pose(OPENPOSE18, **TRUNK | joints) for joints in (
        FACE, moved(FACE, turn, scale, shift)))
    flow = np.asarray(rigid_head(source, target, OPENPOSE18, SIZE).flow)
    rows, columns = np.mgrid[:SIZE[0], :SIZE[1]]
    origin = (columns + 1j * rows - complex(*shift)) / (scale * np.exp(1j * turn))
    np.testing.assert_allclose(flow[..., 0] * SIZE[1] + columns, origin.real, atol=1e-3)
    np.testing.assert_allclose(flow[..., 1] * SIZE[0] + rows, origin.imag, atol=1e-3)


def test_what_a_photo_cuts_off_of_a_head_is_not_moved():
    """The target's head lies 20 pixels lower: what would come from above the photo stays as it is."""
    high = moved(TRUNK | FACE, shift=(0.0, -20.0))
    source, target = pose(OPENPOSE18, **high), pose(OPENPOSE18, **TRUNK | FACE)
    share = np.asarray(rigid_head(source, target, OPENPOSE18, SIZE).share)[..., 0]
    same = np.asarray(rigid_head(target, target, OPENPOSE18, SIZE).share)[..., 0]
    assert not share[:20].any() and same[15:20].any()
    np.testing.assert_array_equal(share[20:], same[20:])


@pytest.mark.parametrize("times", [1, 2])
def test_the_head_is_the_photo_s_and_the_rest_is_not_touched(times):
    rng = np.random.default_rng(0)
    painted, photo = (rng.integers(0, 256, (2, SIZE[0] * times, SIZE[1] * times, 3), np.uint8)
                      for _ in range(2))
    source = pose(OPENPOSE18, **TRUNK | FACE)
    target = pose(OPENPOSE18, **moved(TRUNK | FACE, shift=(5.0, 3.0)))
    behind = pose(OPENPOSE18, **TRUNK)
    out = np.asarray(with_own_head(painted, photo, jnp.stack([source, source]),
                                   jnp.stack([target, behind]), 1.0, skeleton=OPENPOSE18, times=times))
    np.testing.assert_array_equal(out[1], painted[1])
    inside = slice(30 * times, 40 * times), slice(30 * times, 40 * times)
    there = tuple(slice(part.start - step * times, part.stop - step * times)
                  for part, step in zip(inside, (3, 5), strict=True))
    assert np.abs(out[0][inside].astype(int) - photo[0][there]).max() <= 1
    below = slice(70 * times, None)
    np.testing.assert_array_equal(out[0][below], painted[0][below])
    np.testing.assert_array_equal(
        with_own_head(painted, photo, jnp.stack([source] * 2), jnp.stack([target] * 2), 0.0,
                      skeleton=OPENPOSE18, times=times), painted)


def test_a_model_without_a_face_has_no_head_to_keep():
    SampleConfig(head=0.5).check(ModelConfig(network=NetworkConfig(skeleton="openpose18")))
    with pytest.raises(UserError, match="head: is 0.5, but the model's skeleton has no face"):
        SampleConfig(head=0.5).check(ModelConfig(network=NetworkConfig(skeleton="market14")))
