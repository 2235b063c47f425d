"""Photos that show parts of people, in frames of another aspect."""

import dataclasses

import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.data.config import DataConfig
from repose_jax.data.people.correspondence import correspondence
from repose_jax.data.people.framing import Framing, sample_framing
from repose_jax.data.people.renderer import render, render_person
from repose_jax.data.people.standing import photo_window, pixels_per_metre
from repose_jax.data.people.view import sample_identity, sample_view
from repose_jax.data.people.scene import Camera
from repose_jax.data.people.world import World
from repose_jax.pose.skeleton import SKELETONS

SIZE = (96, 48)
WHO = sample_identity(0, 3)
VIEW = sample_view(0, 3, 0)


def framed(framing: Framing, **more):
    camera = framing.apply(Camera(distance=np.inf), Still())
    return dataclasses.replace(VIEW, camera=camera, aspect=framing.aspect, **more)


class Still:
    """A generator without any chance: people stand quite still."""

    def uniform(self, low, high):
        return (low + high) / 2

    def normal(self, mean, deviation):
        return np.zeros(len(deviation))


def test_stature_fills_the_photo_in_any_pose():
    half = Framing(aspect=0.5, fill=2.0, top=0.05, side=0.1)
    for number in range(4):
        angles = sample_view(0, 3, number).angles
        view = dataclasses.replace(framed(half), angles=angles)
        assert pixels_per_metre(WHO, view, SIZE) == pytest.approx(2 * SIZE[0] / WHO.body.height)
        hips = [SKELETONS["coco17"].index(f"{side}_hip") for side in ("left", "right")]
        # The hips lie as far under the crown as those of an upright person, wherever the arms are.
        middle = render(WHO, view, SIZE).true_joints["coco17"][hips].mean(axis=0)
        expected = (SIZE[1] / 2 - 0.5 + 0.1 * SIZE[0], (0.05 + 2 * 0.47) * SIZE[0] - 0.5)
        assert np.abs(middle - expected).max() < 0.02 * 2 * SIZE[0]


def test_crown_is_where_framing_has_it():
    upright = dataclasses.replace(framed(Framing(aspect=0.5, fill=1.6, top=0.1)),
                                  angles=np.zeros_like(VIEW.angles))
    rows = np.flatnonzero(render(WHO, upright, (256, 128)).mask.any(axis=1))
    assert rows[0] == pytest.approx(0.1 * 256, abs=0.03 * 1.6 * 256)


@pytest.mark.parametrize("aspect, photo", [
    (0.5, (96, 48)), (0.75, (64, 48)), (1.0, (48, 48)), (0.25, (96, 24)), (None, (96, 48))])
def test_photo_touches_two_sides(aspect, photo):
    assert photo_window(dataclasses.replace(VIEW, aspect=aspect), SIZE).size == photo


def test_beside_the_photo_are_its_edges_colours():
    render_ = render(WHO, framed(Framing(aspect=0.75, fill=1.5)), SIZE)
    image = render_.image
    top, bottom = 16, 80
    assert (image[:top] == image[top]).all() and (image[bottom:] == image[bottom - 1]).all()
    assert not render_.mask[:top].any() and not render_.mask[bottom:].any()
    assert render_.mask[bottom - 1].any()  # cut in the middle of the body
    assert render_.image.shape == (*SIZE, 3) and render_.depth.shape == SIZE
    assert np.isneginf(render_.depth[~render_.mask]).all()


def test_photo_is_the_same_in_a_larger_picture():
    view = framed(Framing(aspect=0.75, fill=1.5))
    inner = render(WHO, dataclasses.replace(view, aspect=None), (64, 48))
    outer = render(WHO, view, SIZE)
    np.testing.assert_array_equal(outer.image[16:80], inner.image)
    np.testing.assert_array_equal(outer.coverage[16:80], inner.coverage)
    for name, points in inner.true_joints.items():
        np.testing.assert_allclose(outer.true_joints[name], points + (0, 16), atol=1e-4)
        known = inner.poses[name][:, 2:] > 0
        np.testing.assert_allclose(
            outer.poses[name][:, :2], (inner.poses[name][:, :2] + (0, 16)) * known, atol=1e-4)


def test_joints_beyond_the_photo_are_known_where_they_are_asked_for():
    half = Framing(aspect=0.75, fill=2.0, top=0.05)
    skeleton = SKELETONS["coco17"]
    ankle = skeleton.index("left_ankle")
    cut = render(WHO, framed(half), SIZE).annotated("coco17")
    assert cut[ankle, 2] == 0
    known = cut[:, 2] > 0
    assert (cut[known, 1] > 15.5).all() and (cut[known, 1] < 79.5).all()
    whole = render(WHO, framed(half, beyond=True), SIZE)
    pose = whole.annotated("coco17")
    np.testing.assert_array_equal(pose[ankle, :2], whole.true_joints["coco17"][ankle])
    assert pose[ankle, 2] == 1 and pose[ankle, 1] > SIZE[0]


def test_correspondence_moves_with_the_photo():
    first, second = (dataclasses.replace(framed(Framing(aspect=0.75, fill=1.6, top=0.05)),
                                         angles=sample_view(0, 3, view).angles) for view in (0, 1))
    bare = [dataclasses.replace(view, aspect=None) for view in (first, second)]
    inner, outer = correspondence(WHO, *bare, (64, 48)), correspondence(WHO, first, second, SIZE)
    for small, large in zip(inner, outer, strict=True):
        np.testing.assert_array_equal(large[16:80], small)
        assert not large[:16].any() and not large[80:].any()
    assert outer.seen.any()
    with pytest.raises(UserError, match="two aspects"):
        correspondence(WHO, first, bare[1], SIZE)


def test_all_photos_of_a_person_are_framed_alike():
    for identity in range(6):
        who = sample_identity(0, identity)
        views = [sample_view(0, identity, view, World(framing="any")) for view in range(4)]
        assert len({view.aspect for view in views}) == 1
        if views[0].camera.stature:
            sizes = [pixels_per_metre(who, view, SIZE) for view in views]
            assert max(sizes) < 1.09 * min(sizes)


def test_whole_people_are_as_they_were():
    """What is drawn for the framing comes after all else: the same people, poses, lights."""
    for view in range(3):
        whole, part = (sample_view(0, 5, view, World(scene="person", framing=framing))
                       for framing in ("whole", "any"))
        np.testing.assert_array_equal(whole.angles, part.angles)
        assert (whole.light, whole.background, whole.occluder) == (
            part.light, part.background, part.occluder)
        assert whole.camera.yaw == part.camera.yaw and whole.aspect is None
        np.testing.assert_array_equal(
            render_person(0, 5, view, (32, 16)).image,
            render_person(0, 5, view, (32, 16), World()).image)


def test_framings_are_of_all_kinds():
    rng = np.random.default_rng(0)
    drawn = [sample_framing(rng) for _ in range(600)]
    parts = [f for f in drawn if f.fill is not None]
    assert 0.27 < 1 - len(parts) / len(drawn) < 0.40
    assert min(f.fill for f in parts) < 1.15 and max(f.fill for f in parts) > 2.3
    assert 0.05 < np.mean([f.top < 0 for f in parts]) < 0.16
    assert {0.5} < {f.aspect for f in drawn} and max(f.aspect for f in drawn) <= 1


def test_framing_decides_the_data():
    whole, parts = (DataConfig(identities=4, views=3, framing=framing) for framing in (
        "whole", "any"))
    assert "framing" not in whole.identity() and parts.identity()["framing"] == "any"
    assert whole.open("train").identity != parts.open("train").identity
