"""The renderer of people: what it says about a picture must be what the picture shows."""

import dataclasses

import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.data.people import (
    body, garments, keypoints, poses, raycast, render, render_person, sample_identity, sample_view,
    scene)
from repose_jax.data.people.face import face_colours
from repose_jax.data.people.renderer import render_background
from repose_jax.data.people.world import World
from repose_jax.pose.skeleton import SKELETONS

SIZE = (96, 48)
FRONT = scene.Camera(yaw=0.0, pitch=0.0, distance=5.0, fill=0.9)


def _view(seed=0, identity=0, view=0, **changes):
    calm = {"background": scene.Background(kind="plain", seed=1), "occluder": scene.Occluder(),
            "light": scene.Light()}
    return dataclasses.replace(sample_view(seed, identity, view), **(calm | changes))


def _upright(**camera):
    angles = body.neutral_angles()
    for side in body.SIDES:
        angles[body.ANGLES.index(f"{side}_shoulder_abduction")] = 20
    return _view(angles=angles, camera=dataclasses.replace(FRONT, **camera))


def test_same_numbers_same_picture_other_numbers_another():
    first, again = render_person(3, 1, 2, SIZE), render_person(3, 1, 2, SIZE)
    assert np.array_equal(first.image, again.image) and np.array_equal(first.mask, again.mask)
    for name in SKELETONS:
        assert np.array_equal(first.poses[name], again.poses[name])
    for other in ((4, 1, 2), (3, 2, 2), (3, 1, 3)):
        assert not np.array_equal(first.image, render_person(*other, SIZE).image)


def test_shapes_and_types():
    for size in ((64, 32), (66, 47), (32, 64)):
        shown = render_person(0, 0, 0, size)
        assert shown.image.shape == (*size, 3) and shown.image.dtype == np.uint8
        assert shown.mask.shape == size and shown.mask.dtype == bool
        assert np.array_equal(np.isfinite(shown.depth), shown.mask)
        for name, skeleton in SKELETONS.items():
            assert shown.poses[name].shape == (len(skeleton), 3)
            assert shown.poses[name].dtype == np.float32
            assert shown.true_joints[name].shape == (len(skeleton), 2)


def test_heads_turn_and_nothing_else_is_drawn_anew():
    twist = body.ANGLES.index("neck_twist")
    drawn = []
    for view in range(40):
        plain, turning = (sample_view(0, 5, view, World(heads=heads))
                          for heads in ("following", "turning"))
        drawn.append(turning.angles[twist])
        np.testing.assert_array_equal(np.delete(plain.angles, twist), np.delete(turning.angles, twist))
        assert dataclasses.replace(turning, angles=plain.angles) == plain
    assert np.abs(drawn).max() <= 60 and np.abs(drawn).mean() > 20
    following = [sample_view(0, 5, view).angles[twist] for view in range(40)]
    assert np.abs(following).mean() < 15


def test_a_lifelike_face_changes_nothing_but_the_head():
    """And is mirrored about its middle; the same head has it whatever else is drawn."""
    seen = 0
    for number in range(8):
        view = sample_view(0, number, 0, World(heads="lifelike"))
        drawn, lifelike = (render(sample_identity(0, number, World(heads=heads)), view, (128, 64))
                           for heads in ("turning", "lifelike"))
        np.testing.assert_array_equal(drawn.mask, lifelike.mask)
        np.testing.assert_array_equal(drawn.poses["openpose18"], lifelike.poses["openpose18"])
        differs = (drawn.image != lifelike.image).any(axis=-1)
        y, x = np.nonzero(differs)
        nose = drawn.true_joints["openpose18"][0]
        if len(y):
            seen += 1
            assert np.hypot(x - nose[0], y - nose[1]).max() < 0.09 * 128
    assert seen > 2
    outfit = sample_identity(0, 0, World(heads="lifelike")).outfit
    angle, v = np.meshgrid(np.linspace(-0.9, 0.9, 31), np.linspace(0, 0.1, 21))
    colours = face_colours(outfit, angle.ravel(), v.ravel()).reshape(*angle.shape, 3)
    np.testing.assert_allclose(colours, colours[:, ::-1], atol=1e-6)
    assert colours.min() >= 0 and colours.max() <= 1
    eye = colours[np.argmin(np.abs(v[:, 0] - 0.07)), np.argmin(np.abs(angle[0] - 0.37))]
    assert eye.max() < 0.5 * max(outfit.skin)



def test_one_scene_for_all_views_of_a_person():
    apart, together = ([sample_view(0, 5, view, World(scene=kind)) for view in range(4)]
                       for kind in ("view", "person"))
    for one, other in zip(apart, together, strict=True):
        for same in ("camera", "occluder"):
            assert getattr(one, same) == getattr(other, same)
        np.testing.assert_array_equal(one.angles, other.angles)
    assert len({view.background for view in apart}) == len({view.light for view in apart}) == 4
    assert len({view.background for view in together}) == len({view.light for view in together}) == 1
    assert sample_view(0, 6, 0, World(scene="person")).background != together[0].background
    # What neither person nor shadow hides is the same in both pictures, to the bit.
    calm = [dataclasses.replace(view, occluder=scene.Occluder(),
                                light=dataclasses.replace(view.light, shadow=0.0))
            for view in together[:2]]
    first, second = (render(sample_identity(0, 5), view, SIZE) for view in calm)
    empty = (first.coverage == 0) & (second.coverage == 0)
    assert empty.mean() > 0.3
    np.testing.assert_array_equal(first.image[empty], second.image[empty])


@pytest.mark.parametrize("size", [(8, 8), (5000, 64)])
def test_impossible_size_is_the_users_error(size):
    with pytest.raises(UserError, match="size"):
        render_person(0, 0, 0, size)
    with pytest.raises(UserError, match="seed"):
        sample_identity(-1, 0)


def test_clothes_stay_with_the_person():
    white = scene.Light(direction=(0.0, 0.0, 1.0), sun=0.5, sky=0.5)

    def colour_of_trousers(identity, view):
        person = sample_identity(0, identity)
        plain = garments.Pattern(kind="plain", colours=(person.outfit.bottom.colours[0],) * 3,
                                 period=0.1)
        person = dataclasses.replace(person, outfit=dataclasses.replace(
            person.outfit, bottom=plain, bottom_cut="trousers"))
        angles = sample_view(0, identity, view).angles
        shown = render(person, _view(identity=identity, view=view, light=white, angles=angles,
                                     camera=dataclasses.replace(FRONT, yaw=37.0 * view)), SIZE)
        hips, knees = (shown.true_joints["coco17"][[SKELETONS["coco17"].index(f"{side}_{joint}")
                       for side in body.SIDES]] for joint in ("hip", "knee"))
        x, y = np.rint((hips + knees) / 2).astype(int).T
        return np.median(shown.image[y, x].astype(float), axis=0)

    same = [colour_of_trousers(2, view) for view in range(4)]
    lamp = np.mean(same, axis=0)
    assert max(np.abs(colour - lamp).max() for colour in same) < 45
    true = np.array(sample_identity(0, 2).outfit.bottom.colours[0]) * 255
    assert np.corrcoef(lamp, true)[0, 1] > 0.95 or np.ptp(true) < 25
    assert sample_identity(0, 2) == sample_identity(0, 2) != sample_identity(0, 3)


def test_pattern_follows_the_limb_around():
    pattern = garments.Pattern(kind="checks", colours=((1, 0, 0), (0, 1, 0), (0, 0, 1)), period=0.1)
    radius = garments.whole_turns(pattern, 0.07)
    turns = 2 * np.pi * radius / pattern.period
    assert turns == pytest.approx(round(turns))
    seam = np.array([-np.pi, np.pi]) * radius * (1 - 1e-5)
    for kind in garments.PATTERNS:
        left, right = garments.paint(dataclasses.replace(pattern, kind=kind),
                                     np.abs(seam) * np.sign(seam) + pattern.period * 1e-3,
                                     np.array([0.03, 0.03]))
        assert np.abs(left - right).max() < 1e-3, kind


def test_joints_lie_on_the_person_where_they_are_visible():
    seen = 0
    for number in range(24):
        shown = render_person(5, number, number, (128, 64))
        grown = np.pad(shown.coverage > 0, 1)
        grown = sum(grown[1 + dy:129 + dy, 1 + dx:65 + dx] for dy in (-1, 0, 1)
                    for dx in (-1, 0, 1)) > 0
        for name in SKELETONS:
            pose, true = shown.poses[name], shown.true_joints[name]
            visible = pose[:, 2] == 1
            assert np.array_equal(pose[visible, :2], true[visible])
            assert not pose[~visible].any()
            x, y = np.clip(np.rint(pose[visible, :2]).astype(int), 0, (63, 127)).T
            assert grown[y, x].all()
            seen += visible.sum()
    assert seen > 24 * 49 * 0.5


def test_front_and_back_show_what_they_must():
    person = sample_identity(0, 3)
    names = SKELETONS["openpose18"].joints
    for yaw, left_of_right, face in ((0, False, True), (180, True, False)):
        shown = render(person, _upright(yaw=yaw), (128, 64))
        pose, true = shown.poses["openpose18"], shown.true_joints["openpose18"]
        assert bool(pose[names.index("nose"), 2]) is face
        for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
            left, right = names.index(f"left_{joint}"), names.index(f"right_{joint}")
            assert pose[left, 2] == pose[right, 2] == 1, joint
            assert (true[left, 0] < true[right, 0]) is np.bool_(left_of_right)


@pytest.mark.parametrize("yaw, near, far", [(90, "right", "left"), (-90, "left", "right")])
def test_profile_hides_the_far_side(yaw, near, far):
    view = _upright(yaw=yaw)
    view.angles[[body.ANGLES.index(f"{side}_shoulder_abduction") for side in body.SIDES]] = 8
    names = SKELETONS["openpose18"].joints
    pose = render(sample_identity(0, 3), view, (128, 64)).poses["openpose18"]
    for joint in ("shoulder", "elbow"):
        assert pose[names.index(f"{near}_{joint}"), 2] == 1
        assert pose[names.index(f"{far}_{joint}"), 2] == 0
    assert pose[names.index(f"{far}_hip"), 2] == 0


def test_frame_and_occluder_hide_joints(monkeypatch):
    person, view = sample_identity(0, 3), _upright()
    free = render(person, view, SIZE)
    hidden = np.zeros((2 * SIZE[0], 2 * SIZE[1]), bool)
    hidden[SIZE[0]:] = True
    monkeypatch.setattr("repose_jax.data.people.renderer.paint_occluder",
                        lambda *_: (hidden, np.full((*hidden.shape, 3), 0.5, np.float32)))
    behind = render(person, view, SIZE)
    joints = free.true_joints["market14"]
    assert np.array_equal(joints, behind.true_joints["market14"])
    under = joints[:, 1] >= SIZE[0] / 2
    assert under.any() and not behind.poses["market14"][under].any()
    assert np.array_equal(behind.poses["market14"][~under], free.poses["market14"][~under])
    assert not behind.mask[SIZE[0] // 2:].any()
    assert np.array_equal(behind.mask[:SIZE[0] // 2], free.mask[:SIZE[0] // 2])
    monkeypatch.undo()

    close = render(person, _upright(fill=1.6), SIZE)
    joints, pose = close.true_joints["market14"], close.poses["market14"]
    outside = ((joints < -0.5) | (joints > np.array(SIZE[::-1]) - 0.5)).any(axis=1)
    assert outside.any() and not pose[outside].any()


@pytest.mark.parametrize("kind", scene.OCCLUDERS[1:])
def test_every_occluder_hides_something_and_only_what_it_covers(kind):
    person, view = sample_identity(1, 0), _view()
    free = render(person, view, SIZE)
    taken = 0
    for seed in range(6):
        masked = render(person, dataclasses.replace(
            view, occluder=scene.Occluder(kind=kind, seed=seed)), SIZE)
        assert (masked.mask <= free.mask).all()
        taken += (free.mask & ~masked.mask).sum()
    assert taken > 0


def test_mask_is_where_the_picture_differs_from_the_empty_scene():
    person = sample_identity(0, 5)
    view = _view(light=dataclasses.replace(scene.Light(), shadow=0.0))
    shown = render(person, view, SIZE)
    empty = np.clip(render_background(view, SIZE), 0, 1) * 255 + 0.5
    differs = (shown.image != empty.astype(np.uint8)).any(axis=-1)
    assert not differs[shown.coverage == 0].any()
    assert differs[shown.mask].mean() > 0.99
    assert 0.05 < shown.mask.mean() < 0.6
    assert np.array_equal(shown.mask, shown.coverage >= 0.5)


def test_size_scales_everything():
    for number in range(3):
        small, large = (render_person(2, number, 0, size) for size in ((64, 32), (192, 96)))
        for name in SKELETONS:
            expected = (small.true_joints[name] + 0.5) * 3 - 0.5
            np.testing.assert_allclose(large.true_joints[name], expected, atol=2e-3)
        reduced = large.image.reshape(64, 3, 32, 3, 3).mean(axis=(1, 3))
        assert np.abs(reduced - small.image).mean() < 6


def test_mirrored_pose_is_the_mirrored_picture_of_a_skeleton():
    person, view = sample_identity(0, 4), _view(view=3)
    mirrored = view.angles.copy()
    for i, name in enumerate(body.ANGLES):
        if name.startswith(("left_", "right_")):
            other = {"left": "right", "right": "left"}[name.split("_")[0]]
            mirrored[i] = view.angles[body.ANGLES.index(f"{other}_{name.split('_', 1)[1]}")]
        elif name.endswith(("bend", "twist")):
            mirrored[i] = -view.angles[i]
    joints = body.pose_body(person.body, view.angles).joints
    reflected = body.pose_body(person.body, mirrored).joints
    for skeleton in SKELETONS.values():
        for i, joint in zip(skeleton.flip_order, skeleton.joints):
            np.testing.assert_allclose(reflected[skeleton.joints[i]], joints[joint] * (-1, 1, 1),
                                       atol=1e-12)


def test_sampled_angles_are_legal_and_limits_bite():
    rng = np.random.default_rng(0)
    angles = np.stack([poses.sample_angles(rng) for _ in range(60)])
    assert body.is_legal(angles).all()
    inside = [poses.arm_inside_body(row, side) for row in angles for side in body.SIDES]
    assert np.mean(inside) < 0.1
    assert body.is_legal(body.neutral_angles())
    for i, (low, high) in enumerate(body.JOINT_LIMITS.values()):
        for value in (low - 1, high + 1, np.nan):
            wrong = body.neutral_angles()
            wrong[i] = value
            assert not body.is_legal(wrong)
    # Each within its own limits, but not together: a straight leg at 120 degrees.
    high_kick = body.neutral_angles()
    high_kick[body.ANGLES.index("left_hip_flexion")] = 120
    assert not body.is_legal(high_kick)
    high_kick[body.ANGLES.index("left_knee_flexion")] = 100
    assert body.is_legal(high_kick)


def test_limbs_keep_their_length_and_bend_the_right_way():
    person = sample_identity(0, 6).body
    straight = body.pose_body(person, body.neutral_angles()).joints
    bent = body.neutral_angles()
    bent[body.ANGLES.index("left_elbow_flexion")] = 90
    bent[body.ANGLES.index("left_knee_flexion")] = 90
    joints = body.pose_body(person, bent).joints
    for a, b in (("left_elbow", "left_wrist"), ("left_knee", "left_ankle")):
        assert np.linalg.norm(joints[b] - joints[a]) == pytest.approx(
            np.linalg.norm(straight[b] - straight[a]))
    assert joints["left_wrist"][2] > straight["left_wrist"][2] + 0.1
    assert joints["left_ankle"][2] < straight["left_ankle"][2] - 0.1
    assert straight["left_wrist"][0] > 0 > straight["right_wrist"][0]


def test_cast_sphere_and_squeezed_cone_against_closed_forms():
    start = np.array([[10.0, 12.0, 3.0]])
    sphere = raycast.make_cones(start, start + (0, 1e-3, 0), np.array([[6.0, 6.0]]),
                                np.array([[0.0, 0, 1]]), np.array([[1.0, 0.5]]),
                                np.array([False]))
    depth, ids = raycast.cast(sphere, 24, 20)
    y, x = np.mgrid[:24, :20]
    inside = 36 - (x - 10.0) ** 2 - (y - 12.0) ** 2
    assert np.array_equal(ids >= 0, inside > 0) or (
        (ids >= 0) != (inside > 0)).sum() == (inside == 0).sum()
    hit = (ids >= 0) & (inside > 0.5)
    # Squeezed to half towards the viewer, so is every height above the middle.
    np.testing.assert_allclose(depth[hit], 3 + 0.5 * np.sqrt(inside[hit]), atol=5e-3)
    assert (depth[ids < 0] < -1e8).all()


def test_every_skeleton_joint_has_a_place():
    joints = body.pose_body(body.Body(), body.neutral_angles()).joints
    assert set(keypoints.JOINTS) <= set(joints)
    assert joints["head_top"][1] > joints["nose"][1] > joints["neck"][1] > joints["left_hip"][1]


@pytest.mark.parametrize("kind", scene.BACKGROUNDS)
def test_backgrounds_look_alike_at_every_size(kind):
    for seed in range(3):
        small, large = (scene.paint_background(scene.Background(kind=kind, seed=seed), *size)
                        for size in ((48, 24), (144, 72)))
        reduced = large.reshape(48, 3, 24, 3, 3).mean(axis=(1, 3))
        assert np.abs(reduced - small).mean() < 0.05
        assert small.min() >= 0 and small.max() <= 1
