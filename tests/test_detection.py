"""Detectors run on photos, and the choice of a person by a box."""

from __future__ import annotations

import json

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from repose_jax.cli.detector import load_detector, which_person
from repose_jax.common.errors import UserError
from repose_jax.data.image.crop import cut_out, framed
from repose_jax.data.people.renderer import render_person
from repose_jax.inference.detection.photo_pose import photo_pose
from repose_jax.inference.pipeline import PoseTransfer
from repose_jax.models.pose_predictor import PoseReader
from repose_jax.models.sample_config import SampleConfig
from repose_jax.pose.formats import read_pose
from repose_jax.pose.people import boxes, choose_person, overlaps
from repose_jax.pose.skeleton import COCO17, OPENPOSE18

def standing(x: float, y: float, scale: float, skeleton=COCO17) -> np.ndarray:
    """Joints in a square with its corner at x, y."""
    xy = np.random.default_rng(0).uniform(0, scale, (len(skeleton), 2)) + [x, y]
    xy[:2] = [[x, y], [x + scale, y + scale]]
    return np.concatenate([xy, np.ones((len(skeleton), 1))], -1).astype(np.float32)


class Found:
    """A detector that has found these poses already."""

    name, finds_people = "found", True

    def __init__(self, poses, skeleton=COCO17):
        self.poses, self.skeleton, self.asked = poses, skeleton, []

    def people(self, photo, box=None):
        self.asked.append(box)
        return self.poses, self.skeleton


class TestBoxes:
    def test_overlap_is_what_is_shared_of_both(self):
        poses = np.stack([standing(0, 0, 10), standing(20, 20, 10), np.zeros((17, 3), np.float32)])
        np.testing.assert_array_equal(boxes(poses), [[0, 0, 10, 10], [20, 20, 30, 30], [0] * 4])
        np.testing.assert_allclose(overlaps(poses, (5, 0, 25, 30)), [
            50 / (100 + 600 - 50), 50 / (100 + 600 - 50), 0])
        np.testing.assert_allclose(overlaps(poses, (20, 20, 30, 30)), [0, 1, 0])

    def test_a_person_by_box(self):
        poses = np.stack([standing(0, 0, 90), standing(20, 20, 10), standing(60, 60, 20)])
        chosen, note = choose_person(poses, (55, 55, 85, 85))
        assert chosen == 2 and "number 2" in note and "0.44 of both" in note
        assert choose_person(poses, "largest")[0] == 0
        for box, word in (((200, 0, 300, 50), "nobody in the box 200 0 300 50"),
                          ((30, 0, 10, 50), "left, top"), ((0, 0, 10, np.nan), "left, top")):
            with pytest.raises(ValueError, match=word):
                choose_person(poses, box)

    def test_a_person_of_a_file_by_box(self, tmp_path):
        people = [{"pose_keypoints_2d": standing(x, 0, 30, OPENPOSE18).ravel().tolist()}
                  for x in (5, 50)]
        (tmp_path / "two.json").write_text(json.dumps({"people": people}))
        found = read_pose(tmp_path / "two.json", person=(48, 0, 90, 40))
        assert found.name == "two:1" and "number 1" in found.notes[0]
        with pytest.raises(UserError, match="two.json: has nobody in the box"):
            read_pose(tmp_path / "two.json", person=(200, 200, 210, 210))

    def test_a_frame_has_the_box_in_its_middle_and_the_aspect(self):
        assert framed((10, 20, 30, 60), (128, 64), 1.0) == (10, 20, 30, 60)
        assert framed((10, 20, 30, 60), (100, 100), 1.5) == (-10, 10, 50, 70)
        assert framed((0, 0, 40, 10), (128, 64), 1.0) == (0, -35, 40, 45)

    def test_what_is_cut_out_keeps_its_place(self):
        image = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(6, 5, 3)
        cut, place = cut_out(image, (1.2, 2.0, 3.5, 6.0))
        assert place == (1, 2)
        np.testing.assert_array_equal(cut, image[2:6, 1:4])
        cut, place = cut_out(image, (-2, 4, 2, 8))
        assert place == (-2, 4)
        np.testing.assert_array_equal(cut[:2, 2:], image[4:, :2])
        np.testing.assert_array_equal(cut[3, 0], image[5, 0])


class TestPhotoPose:
    PHOTO = np.zeros((100, 120, 3), np.uint8)

    def test_the_largest_a_number_or_a_box(self):
        found = Found(np.stack([standing(0, 0, 20), standing(40, 10, 60), standing(20, 60, 30)]))
        pose = photo_pose(found, self.PHOTO)
        np.testing.assert_array_equal(pose.pose, found.poses[1])
        assert pose.size == (100, 120) and pose.skeleton is COCO17
        assert "3 people; took number 1" in pose.notes[0] and "found, 17 of 17" in pose.notes[1]
        np.testing.assert_array_equal(photo_pose(found, self.PHOTO, 2).pose, found.poses[2])
        pose = photo_pose(found, self.PHOTO, (-5, -5, 21.5, 21.5))
        np.testing.assert_array_equal(pose.pose, found.poses[0])
        # What lies outside of the photo no detector is asked for.
        assert found.asked == [None, None, (0, 0, 21.5, 21.5)]
        assert "in the box -5 -5 21.5 21.5" in pose.notes[1]

    @pytest.mark.parametrize(("person", "word"), [
        (3, "no person 3"), ((90, 0, 95, 5), "nobody in the box"), ((5, 5, 5, 9), "left, top"),
        ((130, 0, 140, 50), "100x120 has nothing")])
    def test_nobody_there(self, person, word):
        found = Found(np.stack([standing(0, 0, 20), standing(40, 10, 30)]))
        with pytest.raises(UserError, match=f"image.*{word}"):
            photo_pose(found, self.PHOTO, person)

    def test_three_joints_are_nobody(self):
        poses = standing(0, 0, 20)[None]
        poses[0, 3:] = 0
        for each in (poses, poses[:0]):
            with pytest.raises(UserError, match="shows no person that found can read"):
                photo_pose(Found(each), self.PHOTO)

    def test_options(self):
        assert load_detector(None, None) is None
        assert which_person(2, None, "--box") == 2
        for call, word in ((lambda: load_detector(None, "a.onnx"), "without --detector"),
                           (lambda: load_detector("rtmpose", None), "an .onnx file"),
                           (lambda: load_detector("mediapipe", None), "a .task file"),
                           (lambda: which_person(2, (0, 0, 1, 1), "--box"), "--box")):
            with pytest.raises(UserError, match=word):
                call()


class TestOurEstimator:
    """A photo of 300x400 in which a rendered person of 128x64 stands."""

    PLACE = np.array([230, 90])  # x, y of its corner

    def photo(self):
        render = render_person(0, 100_003, 0, (128, 64))
        photo = np.full((300, 400, 3), 90, np.uint8)
        (x, y) = self.PLACE
        photo[y:y + 128, x:x + 64] = render.image
        rows, columns = np.where(render.mask)
        box = (columns.min() + x, rows.min() + y, columns.max() + x + 1, rows.max() + y + 1)
        true = render.annotated("openpose18") + [*self.PLACE, 0]
        return photo, tuple(float(edge) for edge in box), true

    def test_a_box_makes_a_small_person_readable(self):
        photo, box, true = self.photo()
        reader = PoseReader.load("estimator-people")
        pose = photo_pose(reader, photo, box)
        assert pose.size == (300, 400) and "estimator-people in the box" in pose.notes[0]
        both = (pose.pose[:, 2] > 0) & (true[:, 2] > 0)
        assert both.sum() >= 10
        assert np.median(np.linalg.norm((pose.pose - true)[both, :2], axis=1)) < 0.03 * 128

    def test_the_cut_out_is_undone(self):
        """A network that always says the same place of its own picture."""
        reader = PoseReader.load("estimator-people")
        reader._read = lambda pictures: jnp.full((len(pictures), 18, 3), 1.0) * jnp.array(
            [10.0, 20.0, 1.0])
        box = (100, 50, 130, 250)
        left, top, right, bottom = framed(box, (128, 64), 1.12)
        poses, _ = reader.people(np.zeros((300, 400, 3), np.uint8), box)
        np.testing.assert_allclose(
            poses[0, 0, :2], [left + 10.5 * (right - left) / 64, top + 20.5 * (bottom - top) / 128],
            atol=1.5)

    def test_another_detector_in_its_place(self, tmp_path):
        """A box reaches whatever detector is given; joints are then known or not."""
        found = Found(np.stack([standing(0, 0, 80), standing(20, 20, 15)]) * [1, 1, 0.7])
        found.poses = found.poses.astype(np.float32)
        transfer = PoseTransfer(None, SampleConfig(), found)
        Image.fromarray(TestPhotoPose.PHOTO).save(tmp_path / "p.png")
        pose = transfer.photo_pose(tmp_path / "p.png", person=(18.0, 18.0, 40.0, 40.0))
        np.testing.assert_array_equal(pose.pose[:, :2], found.poses[1, :, :2])
        assert set(pose.pose[:, 2]) == {1.0}
