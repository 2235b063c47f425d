"""A person who is small in a photo: their box, in whose pixels it is, and what is cut out."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.data.image.crop import FILLING, person_cut_out
from repose_jax.data.people.renderer import render_person
from repose_jax.inference.pipeline import PoseTransfer
from repose_jax.pose.formats import read_pose
from repose_jax.pose.named_poses import NamedPose
from repose_jax.pose.skeleton import OPENPOSE18


def test_a_person_cut_out_of_a_photo_is_painted_as_if_alone():
    """A render put small into a larger photo: its box gives the model what it would have got."""
    render = render_person(0, 3, 0, (128, 64))
    photo = np.full((300, 400, 3), 90, np.uint8)
    photo[100:228, 250:314] = render.image
    inside = NamedPose(pose=render.annotated("openpose18"), name="a", skeleton=OPENPOSE18)
    moved = inside.pose + np.where(inside.pose[:, 2:] > 0, [250, 100, 0], 0)
    # FILLING around the box is the frame of the render.
    height = 128 / FILLING
    box = (282 - height / 4, 164 - height / 2, 282 + height / 4, 164 + height / 2)
    cut, pose = person_cut_out(photo, dataclasses.replace(inside, pose=moved, size=(300, 400)),
                               box, (128, 64))
    assert abs(cut.shape[0] - 128) <= 2 and abs(cut.shape[1] - 64) <= 2
    np.testing.assert_array_equal(cut[:128, :64], render.image)
    np.testing.assert_allclose(pose.pose, inside.pose, atol=1e-4)
    assert pose.size == cut.shape[:2]
    # A pose in the pixels of a smaller copy of the photo.
    half = dataclasses.replace(inside, pose=moved * [0.5, 0.5, 1] - [0.25, 0.25, 0] * (
        moved[:, 2:] > 0), size=(150, 200))
    np.testing.assert_allclose(person_cut_out(photo, half, box, (128, 64))[1].pose, inside.pose,
                               atol=1e-3)


def test_transfer_takes_the_box():
    transfer = PoseTransfer.load("people")
    render = render_person(0, 3, 0, (128, 64))
    photo = np.full((300, 400, 3), 90, np.uint8)
    photo[100:228, 250:314] = render.image
    known = render.annotated("openpose18")
    moved = known + np.where(known[:, 2:] > 0, [250, 100, 0], 0).astype(np.float32)
    target = render_person(0, 3, 1, (128, 64)).annotated("openpose18")
    box = (250.0, 100.0, 314.0, 228.0)
    found = transfer.prepare(photo, moved, target, box=box)
    spread = np.ptp(found.source_pose[found.source_pose[:, 2] > 0, 1])
    assert spread == pytest.approx(np.ptp(known[known[:, 2] > 0, 1]) / FILLING, rel=0.02)
    whole = transfer.prepare(photo, moved, target)
    assert np.ptp(whole.source_pose[whole.source_pose[:, 2] > 0, 1]) < spread / 5


@pytest.fixture
def two_people(tmp_path):
    """A photo of 300x400 and a pose file of its two people, of a copy of half the size."""
    photo = np.full((300, 400, 3), 90, np.uint8)
    people = []
    for number, left in enumerate((60, 250)):
        render = render_person(0, number, 0, (128, 64))
        photo[100:228, left:left + 64] = render.image
        known = render.annotated("openpose18")
        xy = known[:, :2] + [left, 100]
        people.append(np.where(known[:, 2:] > 0, np.append((xy + 0.5) / 2 - 0.5, known[:, 2:], 1), 0))
    Image.fromarray(photo).save(tmp_path / "photo.png")
    (tmp_path / "poses.json").write_text(json.dumps({
        "canvas_height": 150, "canvas_width": 200,
        "people": [{"pose_keypoints_2d": pose.ravel().tolist()} for pose in people]}))
    return tmp_path / "photo.png", tmp_path / "poses.json"


@pytest.mark.parametrize("number,left", [(0, 60.0), (1, 250.0)])
def test_a_box_is_in_the_pixels_of_the_photo_whatever_those_of_the_pose_file(
        number, left, two_people):
    box = (left, 100.0, left + 64, 228.0)
    found = read_pose(two_people[1], size=(300, 400), person=box)
    assert f"took number {number}" in found.notes[0]
    transfer = PoseTransfer.load("people")
    target = render_person(0, 3, 1, (128, 64)).annotated("openpose18")
    prepared = transfer.prepare(two_people[0], str(two_people[1]), target, box=box)
    known = render_person(0, number, 0, (128, 64)).annotated("openpose18")
    centre = known[known[:, 2] > 0, :2].mean(0)
    ours = prepared.source_pose[prepared.source_pose[:, 2] > 0, :2].mean(0)
    np.testing.assert_allclose(ours, [32, 64] + (centre - [32, 64]) / FILLING, atol=1)


@pytest.mark.parametrize("box,word", [
    ((0, 0, np.nan, 9), "cannot have the box"), ((9, 0, 3, 9), "cannot have the box"),
    ((500, 0, 600, 90), "nothing in the box")])
def test_boxes_that_cannot_be(box, word, two_people):
    transfer = PoseTransfer.load("people")
    pose = render_person(0, 0, 0, (128, 64)).annotated("openpose18")
    with pytest.raises(UserError, match=word):
        transfer.prepare(two_people[0], pose, pose, box=box)
    with pytest.raises(UserError, match=word):
        transfer.photo_pose(two_people[0], person=list(box))


def test_a_box_that_exceeds_the_photo_means_what_is_in_it():
    transfer = PoseTransfer.load("people")
    render = render_person(0, 0, 0, (128, 64))
    pose = render.annotated("openpose18")
    huge = transfer.prepare(render.image, pose, pose, box=(0, 0, 30000, 60000))
    whole = transfer.prepare(render.image, pose, pose, box=(0, 0, 64, 128))
    np.testing.assert_array_equal(huge.source, whole.source)


@pytest.mark.parametrize("image", [np.zeros((20, 10), np.uint8), np.zeros((20, 10, 4), np.uint8),
                                   np.zeros((20, 10, 3))])
def test_arrays_that_are_no_photos(image):
    with pytest.raises(UserError, match="give uint8"):
        PoseTransfer.load("people").photo_pose(image)


def test_the_photo_is_not_drawn_over(tmp_path, capsys):
    photo = tmp_path / "a.png"
    Image.fromarray(render_person(0, 0, 0, (128, 64)).image).save(photo)
    before = photo.read_bytes()
    assert main(["pose", str(photo), "-o", str(tmp_path / "a.json"), "--draw", str(photo)]) == 2
    assert "would replace the photo" in capsys.readouterr().err and photo.read_bytes() == before
