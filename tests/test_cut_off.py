"""Legs that the picture's edge cuts off go on beyond it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from painter_parts import SCENE, SOURCE, poses, random_params, with_shares
from repose_jax.models.enlarging import enlarged
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.pose.cut_off import with_cut_off_legs
from repose_jax.pose.skeleton import MARKET14, OPENPOSE18
from repose_jax.pose.stature import stature

SIZE = (128, 96)
completed = jax.jit(with_cut_off_legs, static_argnums=(1, 2))
LEGS = [f"{side}_{joint}" for side in ("right", "left") for joint in ("knee", "ankle")]


def person(skeleton, lean=0.0, top=50.0):
    """A pose with a trunk of 27 % and legs of 49 % of 100 pixels, leaning about the hips."""
    down, side = np.array([np.sin(lean), np.cos(lean)]), np.array([np.cos(lean), -np.sin(lean)])
    hips = np.array([48.0, top + 27])
    pose = np.zeros((len(skeleton.joints), 3), np.float32)
    for name, sign in (("right", -1), ("left", 1)):
        for joint, along, across in (("shoulder", -27, 8), ("hip", 0, 5), ("knee", 24.5, 5),
                                     ("ankle", 49, 5)):
            place = hips + along * down + sign * across * side
            pose[skeleton.index(f"{name}_{joint}")] = *place, 1
    return pose


def without(pose, skeleton, *names):
    pose = pose.copy()
    pose[[skeleton.index(name) for name in names]] = 0
    return pose


@pytest.mark.parametrize("skeleton", [MARKET14, OPENPOSE18])
@pytest.mark.parametrize("lean", [0.0, 0.3])
def test_legs_are_where_they_were(skeleton, lean):
    """Knees and ankles below the edge come back as they were, upright and leaning."""
    whole = person(skeleton, lean, top=80.0)
    found = completed(without(whole, skeleton, *LEGS), skeleton, SIZE)
    np.testing.assert_allclose(found, whole, atol=0.1)


def test_an_ankle_goes_on_as_its_thigh():
    whole = person(MARKET14, top=60.0)
    knee, hip, ankle = (MARKET14.index(f"left_{joint}") for joint in ("knee", "hip", "ankle"))
    whole[knee, :2] = whole[hip, :2] + 24.5 * np.array([0.6, 0.8])
    found = completed(without(whole, MARKET14, "left_ankle"), MARKET14, SIZE)
    np.testing.assert_allclose(found[ankle], [*(whole[knee, :2] + 24.5 * np.array([0.6, 0.8])), 1],
                               atol=0.5)


def test_what_may_be_hidden_stays_unknown():
    """A knee that would lie inside the picture, what is known, and people without a trunk."""
    high = without(person(MARKET14, top=20.0), MARKET14, *LEGS)
    found = np.asarray(completed(high, MARKET14, SIZE))
    np.testing.assert_array_equal(found, high)
    np.testing.assert_array_equal(completed(person(MARKET14), MARKET14, SIZE), person(MARKET14))
    low = without(person(MARKET14, top=80.0), MARKET14, *LEGS, "right_shoulder")
    np.testing.assert_array_equal(completed(low, MARKET14, SIZE), low)
    nobody = np.zeros((2, 14, 3), np.float32)
    np.testing.assert_array_equal(completed(nobody, MARKET14, SIZE), nobody)


def test_added_joints_are_as_sure_as_what_they_follow_from():
    pose = without(person(MARKET14, top=80.0), MARKET14, *LEGS)
    pose[MARKET14.index("left_hip"), 2] = 0.25
    found = completed(pose, MARKET14, SIZE)
    assert {float(found[MARKET14.index(name), 2]) for name in LEGS} == {0.25}


def test_a_network_sees_poses_so():
    """In painting, in conditioning and in several branches at once."""
    network = dataclasses.replace(SCENE.network, cut_off_legs=True)
    plain, legs = RePoseModel(SCENE), RePoseModel(dataclasses.replace(SCENE, network=network))
    params, skeleton, size = random_params(plain), plain.network.skeleton, SOURCE.shape[1:3]
    hips = jnp.array([skeleton.index(f"{side}_{joint}") for side in ("right", "left")
                      for joint in ("hip", "knee", "ankle")])
    low = poses(2).at[:, :, 2].set(1.0).at[:, hips[jnp.array([1, 2, 4, 5])], 2].set(0.0)
    low = low.at[:, hips[jnp.array([0, 3])], 1].set(size[0] - 1.0)
    known = with_cut_off_legs(low, skeleton, size)
    assert (known[..., 2] > low[..., 2]).any()
    for method, more in (("paint", ()), ("condition", (jnp.ones(len(SOURCE)),)),
                         ("conditions", (((True, True), (False, True)),))):
        def run(model, pose, method=method, more=more):
            return model.network.apply({"params": params}, SOURCE, pose, poses(3), *more,
                                       method=method)

        asked, told, other = (jax.tree.leaves(run(*given)) for given in (
            (legs, low), (plain, known), (plain, low)))
        for a, b in zip(asked, told, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
        assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(asked, other, strict=True))


def test_an_enlarged_picture_sees_poses_so_too():
    """Of its own size it is the painted picture, which it is not by the pose as it was given."""
    network = dataclasses.replace(
        SCENE.network, cut_off_legs=True, rpa=dataclasses.replace(SCENE.network.rpa, spread=True))
    model = RePoseModel(dataclasses.replace(SCENE, network=network))
    size, params, skeleton = SOURCE.shape[1:3], random_params(model), model.network.skeleton
    low = poses(2).at[:, :, 2].set(1.0).at[:, :, 1].multiply(0.5)
    for side in ("right", "left"):
        for joint in ("knee", "ankle"):
            low = low.at[:, skeleton.index(f"{side}_{joint}"), 2].set(0.0)
        low = low.at[:, skeleton.index(f"{side}_hip"), 1].set(size[0] * 0.8)
    pictures = np.asarray(jnp.clip(jnp.round((SOURCE + 1) * 127.5), 0, 255), np.uint8)
    found = enlarged(model, with_shares(params, 40.0, -40.0), pictures, pictures, pictures, low, low)
    np.testing.assert_allclose(np.asarray(found, int), pictures, atol=1)


def test_a_stature_does_not_depend_on_how_sure_joints_are():
    pose = jnp.asarray(person(OPENPOSE18))
    unsure = pose * jnp.array([1.0, 1.0, 0.4])
    assert float(stature(pose, OPENPOSE18, SIZE)) == pytest.approx(100, abs=0.1)
    assert float(stature(unsure, OPENPOSE18, SIZE)) == float(stature(pose, OPENPOSE18, SIZE))
