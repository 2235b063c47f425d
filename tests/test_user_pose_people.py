"""Users' pose files of several people, of none, with joints missing, beside a photo."""

import numpy as np
import pytest
from PIL import Image

from pose_files import (
    COCO, OPENPOSE, SIZE, check, coco, csv, joints, openpose, write)
from repose_jax.common.errors import UserError
from repose_jax.evaluation.evaluators.pose_files import FoundPoses
from repose_jax.pose.formats import (
    find_pose, pose_beside, read_pose)


class TestPeople:
    def test_a_ghost_is_nobody(self, tmp_path):
        ghost = np.zeros((18, 3))
        ghost[8:11] = [20, 30, 0.07], [300, 420, 0.4], [310, 440, 0.9]
        for people in ((joints(OPENPOSE, third=0.9), ghost), (ghost, joints(OPENPOSE, third=0.9))):
            found = read_pose(write(tmp_path / "p.json", openpose(*people)))
            check(found)
            assert "2 people" in found.notes[0]

    def test_who_is_seen_well_before_who_is_large(self, tmp_path):
        large = joints(OPENPOSE, by=(3, 3), third=0.35)
        found = read_pose(write(tmp_path / "p.json", openpose(large, joints(OPENPOSE, third=0.9))))
        check(found)
        alike = openpose(joints(OPENPOSE, third=0.9), joints(OPENPOSE, by=(3, 3), third=0.85))
        assert read_pose(write(tmp_path / "q.json", alike)).name == "q:1"

    @pytest.mark.parametrize("other", [
        {"pose_keypoints_2d": [], "hand_left_keypoints_2d": [1, 2, 0.5]}, {}, "nobody",
        {"pose_keypoints_2d": [1, 2, 3]}, {"pose_keypoints_2d": None},
        {"pose_keypoints_2d": ["x"] * 54}, {"pose_keypoints_2d": [7, 7, 99] * 18}])
    def test_only_the_person_asked_for_counts(self, tmp_path, other):
        content = openpose(joints(OPENPOSE))
        content["people"].append(other)
        path = write(tmp_path / "p.json", content)
        check(read_pose(path))
        check(read_pose(path, person=0))
        with pytest.raises(UserError):
            read_pose(path, person=1)

    def test_annotations_without_keypoints(self, tmp_path):
        content = {"images": [{"id": i, "file_name": f"{n}.png", **{"width": 128, "height": 256}}
                              for i, n in ((1, "a"), (2, "b"))],
                   "annotations": [coco(joints(COCO), image_id=1),
                                   {"id": 2, "image_id": 2, "bbox": [0, 0, 9, 9]}]}
        path = write(tmp_path / "p.json", content)
        check(read_pose(path))
        check(read_pose(path, row="a.png"))
        with pytest.raises(UserError, match="every joint of b.png"):
            read_pose(path, row="b.png")
        del content["annotations"][0]
        with pytest.raises(UserError, match="no keypoints in any annotation"):
            read_pose(write(path, content))

    @pytest.mark.parametrize("content", [
        {"people": []}, [{"people": [], "canvas_width": 9, "canvas_height": 9}], [],
        {"landmarks": []}, {"landmarks": [[]]}, {"pose_landmarks": []}, {"annotations": []},
        openpose(np.zeros((18, 3))), {"people": [{"pose_keypoints_2d": None}]},
        [coco(np.zeros((17, 3)))], openpose(np.zeros((25, 3))),
        [coco(np.zeros((0, 3)))], {"keypoints": []}, "-1 -1\n" * 18,
        {"skeleton": "openpose18", "joints": {}}])
    def test_nobody_there(self, tmp_path, content):
        path = write(tmp_path / "x.json", content)
        assert find_pose(path) is None
        with pytest.raises(UserError, match="no people|every joint"):
            read_pose(path)
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "x.png")
        write(tmp_path / "y.json", openpose(joints(OPENPOSE)))
        Image.fromarray(np.ones((*SIZE, 3), np.uint8)).save(tmp_path / "y.png")
        judge = FoundPoses([tmp_path / "x.png", tmp_path / "y.png"], OPENPOSE)
        read = judge.poses(np.stack([np.zeros((*SIZE, 3), np.uint8), np.ones((*SIZE, 3), np.uint8)]))
        assert np.isnan(read[0]).all() and read[1, 0, 0] == 69.5

    def test_frames_of_a_video(self, tmp_path):
        path = write(tmp_path / "v.json", [openpose(joints(OPENPOSE)), openpose()])
        check(read_pose(path))
        with pytest.raises(UserError, match="no pose named v:1"):
            find_pose(path, row="v:1")


class TestMissing:
    def test_zeros_in_a_csv(self, tmp_path):
        lost = ("left_wrist", "right_wrist", "left_ankle")
        points = joints(OPENPOSE, missing=lost)
        points[:, 2] = 1  # so that the zeros are written
        one = joints(OPENPOSE, missing=("nose",))
        one[:, 2] = 1
        path = write(tmp_path / "p.csv", csv([("a.jpg", points), ("b.jpg", one)]))
        found = read_pose(path, row="a.jpg")
        check(found, missing=lost)
        assert "3 joints at exactly 0, 0 taken to be missing" in found.notes[0]
        check(read_pose(path, row="b.jpg"), missing=("nose",))  # the file marks them so

    def test_a_single_one_is_said(self, tmp_path):
        one = joints(OPENPOSE, missing=("nose",))
        one[:, 2] = 1
        found = read_pose(write(tmp_path / "p.csv", csv([("b.jpg", one)])))
        assert found.pose[0].tolist() == [0, 0, 1] and "taken to be there" in found.notes[0]

    @pytest.mark.parametrize("mark", [(0, 0, 1), (-1, -1, 1), (0, 0, 0), (-1, -1, 0)])
    def test_in_json(self, tmp_path, mark):
        points = joints(COCO)
        points[[0, 3]] = mark
        check(read_pose(write(tmp_path / "p.json", coco(points))), missing=("nose", "left_ear"))


class TestBeside:
    def test_a_caption_is_passed_over(self, tmp_path):
        for name, text in (("a.txt", "a woman in a striped shirt: green shorts, grey background\n"),
                           ("b.txt", "1girl, solo, 2 hands"), ("c.txt", " "),
                           ("d.json", '{"title": "me", "url": "x"}'), ("e.csv", "id,size\n1,2\n")):
            write(tmp_path / name, text)
            path, notes = pose_beside(tmp_path / f"{name[0]}.png")
            assert path is None and name in notes[0] and "passed over" in notes[0]
        write(tmp_path / "a_keypoints.json", openpose(joints(OPENPOSE)))
        assert pose_beside(tmp_path / "a.png")[0].endswith("a_keypoints.json")

    def test_a_broken_pose_file_is_not(self, tmp_path):
        for name, content in (("a.json", '{"people": [{"pose_'), ("b.txt", "1 2\n" * 17 + "1 b\n"),
                              ("c.csv", "c.jpg:[1, 2:[3]"), ("d.json", " "),
                              ("e.csv", "name:keypoints_y:keypoints_x\n"), ("f.txt", "1 2 3\n" * 18)):
            path = write(tmp_path / name, content)
            assert pose_beside(tmp_path / f"{name[0]}.png")[0] == str(path)
            with pytest.raises(UserError):
                find_pose(path)
