"""Several people in a pose file, and the joints of other detectors."""

from __future__ import annotations

import json

import numpy as np
import pytest

from repose_jax.common.errors import UserError
from repose_jax.pose.detectors import (
    BODY25, HALPE26, LAYOUTS, MEDIAPIPE33, WHOLEBODY23, detected, landmarks, layout_of)
from repose_jax.pose.formats import convert, read_pose, read_poses, write_pose
from repose_jax.pose.people import box_areas, choose_person
from repose_jax.pose.skeleton import COCO17, MARKET14, OPENPOSE18

EVERY = pytest.mark.parametrize("skeleton", LAYOUTS.values(), ids=list(LAYOUTS))


def spread_out(skeleton, *, scale=100.0):
    """A pose of joints all over a square of `scale` pixels."""
    xy = np.random.default_rng(0).uniform(0, scale, (len(skeleton), 2))
    return np.concatenate([xy, np.ones((len(skeleton), 1))], -1).astype(np.float32)


class TestPeople:
    def test_the_largest_or_a_number(self):
        poses = np.stack([spread_out(COCO17, scale=s) for s in (40, 90, 60)])
        assert np.argmax(box_areas(poses)) == 1
        assert choose_person(poses, "largest")[0] == 1 and choose_person(poses, 2)[0] == 2
        assert "3 people" in choose_person(poses, "largest")[1]
        assert choose_person(poses[:1], "largest") == (0, None)
        with pytest.raises(ValueError, match="no person 3"):
            choose_person(poses, 3)
        assert box_areas(np.zeros((1, 17, 3), np.float32)).tolist() == [0]

    def people_file(self, tmp_path):
        people = [{"pose_keypoints_2d": spread_out(OPENPOSE18, scale=s).ravel().tolist()}
                  for s in (40, 90)]
        (tmp_path / "two.json").write_text(json.dumps({"people": people}))
        return tmp_path / "two.json"

    def test_openpose_of_two(self, tmp_path):
        path = self.people_file(tmp_path)
        largest, first = read_pose(path), read_pose(path, person=0)
        assert largest.name == "two:1" and first.name == "two:0"
        assert "2 people" in largest.notes[0] and str(path) in largest.notes[0]
        assert read_pose(path, row="two:0").name == "two:0"
        with pytest.raises(UserError, match="no person 7"):
            read_pose(path, person=7)

    def test_coco_of_several_pictures(self, tmp_path):
        rows = [{"image_id": i, "keypoints": spread_out(COCO17, scale=s).ravel().tolist()}
                for i, s in (("a.jpg", 40), ("a.jpg", 90), ("b.jpg", 60))]
        (tmp_path / "coco.json").write_text(json.dumps(rows))
        path = tmp_path / "coco.json"
        assert read_poses(path).pictures == ("a.jpg", "a.jpg", "b.jpg")
        with pytest.raises(UserError, match="3 poses"):
            read_pose(path)
        np.testing.assert_array_equal(read_pose(path, row="a.jpg").pose, read_poses(path).poses[1])
        assert read_pose(path, row="b.jpg").notes == ()


class TestDetectors:
    @EVERY
    def test_left_and_right_come_in_pairs(self, skeleton):
        assert sorted(skeleton.flip_order.tolist()) == list(range(len(skeleton)))
        assert len(set(skeleton.joints)) == len(skeleton)

    @pytest.mark.parametrize(("points", "skeleton"), [
        (17, COCO17), (18, OPENPOSE18), (23, WHOLEBODY23), (25, BODY25), (26, HALPE26),
        (33, MEDIAPIPE33), (133, WHOLEBODY23), (136, HALPE26)])
    def test_arrays_become_poses(self, points, skeleton):
        keypoints = np.arange(2 * points * 2, dtype=np.float64).reshape(2, points, 2)
        scores = np.full((2, points), 1.3)
        scores[:, 5] = 0.1
        poses, found = detected(keypoints, scores)
        assert found is skeleton and poses.shape == (2, len(skeleton), 3)
        np.testing.assert_array_equal(poses[1, 6], [*keypoints[1, 6], 1])
        assert not poses[:, 5].any()
        out, lost = convert(poses[0], found, COCO17)
        assert not lost and out.shape == (17, 3)
        with pytest.raises(ValueError, match="19 joints"):
            layout_of(19)

    def test_joint_numbers(self):
        """Spot checks against the detectors' own lists."""
        assert (HALPE26.index("neck"), HALPE26.index("right_heel")) == (18, 25)
        assert (BODY25.index("left_hip"), BODY25.index("right_big_toe")) == (12, 22)
        assert (WHOLEBODY23.index("left_heel"), WHOLEBODY23.index("right_big_toe")) == (19, 20)
        assert [MEDIAPIPE33.index(j) for j in (
            "right_ear", "left_shoulder", "right_wrist", "left_hip", "right_ankle",
            "right_foot_index")] == [8, 11, 16, 23, 28, 32]

    def test_mediapipe_landmarks(self, tmp_path):
        points = [{"x": 0.5, "y": i / 33, "z": 0.1, "visibility": 0.2 if i == 7 else 0.9}
                  for i in range(33)]
        content = {"landmarks": [points], "image_height": 330, "image_width": 100}
        path = tmp_path / "mp.json"
        path.write_text(json.dumps(content))
        named = read_pose(path)
        assert named.skeleton is MEDIAPIPE33 and named.size == (330, 100)
        np.testing.assert_allclose(named.pose[11], [49.5, 109.5, 0.9], atol=1e-4)
        assert not named.pose[7].any()
        np.testing.assert_array_equal(landmarks([points], (330, 100))[0], named.pose)
        write_pose(tmp_path / "own.json", named)
        np.testing.assert_allclose(read_pose(tmp_path / "own.json").pose, named.pose, atol=1e-3)
        for spoilt, word in (({**content, "image_width": None}, "image_height"),
                             ({**content, "landmarks": points[:32]}, "33"),
                             ({**content, "landmarks": [["x"] * 33]}, "number for x"),
                             ({**content, "landmarks": []}, "no people")):
            path.write_text(json.dumps(spoilt))
            with pytest.raises(UserError, match=word):
                read_pose(path)

    def test_halpe_as_coco_json(self, tmp_path):
        path = tmp_path / "alphapose.json"
        path.write_text(json.dumps([{"image_id": "a.jpg", "score": 2.0, "keypoints":
                                     spread_out(HALPE26).ravel().tolist()}]))
        named = read_pose(path)
        assert named.skeleton is HALPE26 and convert(named.pose, HALPE26, MARKET14)[1] == []
