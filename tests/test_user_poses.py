"""Pose files that users really have: each kind of fault with its right value."""

import numpy as np
import pytest
from PIL import Image

from pose_files import (
    COCO, FRACTIONS, JOINTS, OPENPOSE, SIZE, check, coco, csv, joints, landmarks, openpose, write)
from repose_jax.cli import main
from repose_jax.common.errors import UserError
from repose_jax.evaluation.evaluators.pose_files import FoundPoses
from repose_jax.pose.detectors import BODY25, MEDIAPIPE33
from repose_jax.pose.formats import (
    find_photo_pose, read_csv_poses, read_pose, read_poses)
from repose_jax.pose.skeleton import MARKET14

CANVAS = {"canvas_width": 128, "canvas_height": 256}


class TestUnits:
    """Fractions and pixels are told apart by most of the joints that are there, in every format."""

    outside = JOINTS | {"left_ankle": (91.25, 267.0)}

    def fractions(self, skeleton):
        points = joints(skeleton, by=FRACTIONS)
        points[skeleton.index("left_ankle"), 1] = 267 / 256
        return points

    def contents(self):
        named = {j: (x / 128, y / 256) for j, (x, y) in self.outside.items()}
        mediapipe = [(*named[j], 0.99) if j in named else (0.5, 300.0, 0.01)
                     for j in MEDIAPIPE33.joints]
        whole = {j: [x, y] for j, (x, y) in named.items()}
        return {
            "openpose": openpose(self.fractions(OPENPOSE), **CANVAS),
            "coco": {"images": [{"id": 3, "file_name": "b.png", "width": 128, "height": 256}],
                     "annotations": [coco(self.fractions(COCO), image_id=3)]},
            "landmarks": {"landmarks": [landmarks(mediapipe)], "image_height": 256,
                          "image_width": 128},
            "ours": {"skeleton": "openpose18", "size": [256, 128], "joints": whole}}

    @pytest.mark.parametrize("kind", ["openpose", "coco", "landmarks", "ours"])
    def test_a_foot_outside_of_the_picture(self, tmp_path, kind):
        path = write(tmp_path / "p.json", self.contents()[kind])
        found = read_pose(path)
        assert found.size == SIZE and read_poses(path).unit == "fractions"
        check(found, of=self.outside, shift=-0.5 if kind == "landmarks" else 0)

    def test_one_wild_joint_and_hidden_joints_do_not_vote(self, tmp_path):
        points = self.fractions(OPENPOSE)
        points[17] = [5000, 7000, 0.9]
        points[[14, 15, 16]] = [900, 700, 0]
        found = read_pose(write(tmp_path / "p.json", openpose(points, **CANVAS)))
        np.testing.assert_allclose(found.pose[0, :2], JOINTS["nose"], atol=1e-3)
        pixels = joints(OPENPOSE)
        pixels[[0, 14]] = [0.5, 0.25, 1]
        assert read_poses(write(tmp_path / "q.json", openpose(pixels))).unit == "pixels"

    def test_fractions_without_a_size(self, tmp_path):
        for name, content in (("a.json", coco(self.fractions(COCO))),
                              ("b.json", openpose(self.fractions(OPENPOSE))),
                              ("c.csv", csv([("a.jpg", self.fractions(OPENPOSE))]))):
            path = write(tmp_path / name, content)
            with pytest.raises(UserError, match="does not tell the picture's size"):
                read_pose(path)
            check(read_pose(path, size=SIZE), of=self.outside)
            check(find_photo_pose(path, "a.jpg", SIZE), of=self.outside)

    def test_a_table_asks_for_the_size_of_each_picture(self, tmp_path):
        sizes = {"a.jpg": (256, 128), "b.jpg": (512, 256)}
        path = write(tmp_path / "t.csv", csv([(n, joints(OPENPOSE, by=FRACTIONS)) for n in sizes]))
        table = read_csv_poses(path, size_of=sizes.get)
        np.testing.assert_allclose(table.poses[1, :, :2], 2 * table.poses[0, :, :2], rtol=1e-6)
        np.testing.assert_allclose(table.poses[0, 0, :2], JOINTS["nose"], atol=1e-4)

    def test_landmarks_in_pixels(self, tmp_path):
        points = [(*JOINTS[j], 0.99) if j in JOINTS else (*JOINTS["nose"], 0.01)
                  for j in MEDIAPIPE33.joints]
        content = {"landmarks": [landmarks(points)], "width": 128, "height": 256}
        check(read_pose(write(tmp_path / "p.json", content)), shift=-0.5)
        for people in (content["landmarks"][0], {"landmark": content["landmarks"][0]}):
            content["landmarks"] = people
            check(read_pose(write(tmp_path / "p.json", content)), shift=-0.5)

    def test_a_stated_unit_beats_the_guess(self, tmp_path):
        tiny = openpose(joints(OPENPOSE, by=FRACTIONS), **CANVAS, unit="pixels")
        found = read_pose(write(tmp_path / "p.json", tiny))
        assert found.pose[:, :2].max() < 1
        percent = openpose(joints(OPENPOSE, by=np.multiply(FRACTIONS, 100)), **CANVAS, units="percent")
        check(read_pose(write(tmp_path / "q.json", percent)))
        normalized = {**openpose(joints(OPENPOSE, by=FRACTIONS), **CANVAS), "normalized": True}
        check(read_pose(write(tmp_path / "r.json", normalized)))
        with pytest.raises(UserError, match="unit 'cubits'"):
            read_pose(write(tmp_path / "s.json", {**percent, "units": "cubits"}))

    def test_what_could_be_either_is_refused(self, tmp_path):
        points = joints(OPENPOSE, by=FRACTIONS)
        points[::2, :2] *= 300
        with pytest.raises(UserError, match="pixels or fractions"):
            read_pose(write(tmp_path / "p.json", openpose(points, **CANVAS)))

    def test_a_close_view_in_fractions(self, tmp_path):
        points = joints(OPENPOSE, by=np.multiply(FRACTIONS, 4))
        found = read_pose(write(tmp_path / "p.json", openpose(points, **CANVAS)))
        np.testing.assert_allclose(found.pose[0, :2], np.multiply(JOINTS["nose"], 4), rtol=1e-5)

    def test_pidm_text_in_fractions(self, tmp_path):
        lines = "".join(f"{x} {y}\n" for x, y, _ in joints(OPENPOSE, by=FRACTIONS).tolist())
        with pytest.raises(UserError, match="fractions"):
            read_pose(write(tmp_path / "p.txt", lines))


class TestNames:
    order = ("nose", "right_eye", "left_eye", "left_ear", "right_ear", "right_shoulder",
             "left_shoulder", "left_hip", "right_hip", "right_knee", "right_ankle", "left_knee",
             "left_ankle", "left_elbow", "left_wrist", "right_elbow", "right_wrist")

    def content(self, names):
        keypoints = [v for j in self.order for v in (*JOINTS[j], 2)]
        return {"images": [{"id": 1, "file_name": "a.jpg", "width": 128, "height": 256}],
                "categories": [{"id": 1, "name": "person", "keypoints": list(names)}],
                "annotations": [{"image_id": 1, "category_id": 1, "keypoints": keypoints}]}

    @pytest.mark.parametrize("spell", [
        str, str.upper, lambda j: j.replace("_", " "), lambda j: j.replace("_", "-").title(),
        lambda j: "_".join(reversed(j.split("_"))), lambda j: j.replace("left_", "L").replace(
            "right_", "R") if j == "nose" else j[0].upper() + j.split("_")[1].title()
        if "_" in j else j, lambda j: j.replace("left_", "l_").replace("right_", "r_")])
    def test_an_order_of_their_own(self, tmp_path, spell):
        found = read_pose(write(tmp_path / "p.json", self.content(map(spell, self.order))))
        assert found.skeleton is COCO
        check(found)

    def test_names_elsewhere(self, tmp_path):
        flat = [v for j in self.order for v in (*JOINTS[j], 2)]
        for content in (
                {"keypoints": flat, "keypoint_names": list(self.order)},
                {"keypoints": {j: [*JOINTS[j], 1] for j in self.order}},
                {"keypoints": [{"name": j, "x": JOINTS[j][0], "y": JOINTS[j][1], "score": 0.9}
                               for j in self.order]},
                {"keypoints": [list(JOINTS[j]) for j in self.order], "joint_names": self.order,
                 "keypoint_scores": [0.9] * 17},
                {"people": [{"keypoints": flat, "joint_names": self.order}]},
                [{"x": 60, "y": 120, "width": 70, "height": 230, "class": "person", "keypoints": [
                    {"x": JOINTS[j][0], "y": JOINTS[j][1], "confidence": 0.9, "class_id": 4,
                     "class": j} for j in self.order]}]):
            check(read_pose(write(tmp_path / "p.json", content)))

    def test_fewer_joints_by_name(self, tmp_path):
        chosen = [j for j in self.order if "ear" not in j]
        content = {"keypoints": [v for j in chosen for v in (*JOINTS[j], 2)], "joints": chosen}
        check(read_pose(write(tmp_path / "p.json", content)), missing=("left_ear", "right_ear"))

    @pytest.mark.parametrize("change, says", [
        ({0: "tail"}, "joint 'tail'"), ({0: "left_hip"}, "left_hip twice")])
    def test_names_that_cannot_be(self, tmp_path, change, says):
        names = [change.get(i, j) for i, j in enumerate(self.order)]
        with pytest.raises(UserError, match=says):
            read_pose(write(tmp_path / "p.json", self.content(names)))
        with pytest.raises(UserError, match="names 16"):
            read_pose(write(tmp_path / "p.json", self.content(self.order[:16])))


class TestSizes:
    @pytest.mark.parametrize("keys", [
        {"width": 128, "height": 256}, {"image_width": 128, "image_height": 256},
        {"imageWidth": 128, "imageHeight": 256}, {"img_w": 128, "img_h": 256}, {"w": 128, "h": 256},
        {"canvas": {"width": 128, "height": 256}}, {"image": {"width": 128.0, "height": 256}},
        {"metadata": {"image_size": {"height": 256, "width": 128}}}, {"img_shape": [256, 128, 3]},
        {"size": [256, 128]}, CANVAS])
    def test_every_spelling(self, tmp_path, keys):
        for content in (openpose(joints(OPENPOSE), **keys), [openpose(joints(OPENPOSE), **keys)],
                        {"keypoints": joints(COCO).ravel().tolist(), **keys},
                        {"annotations": [coco(joints(COCO))], **keys}):
            found = read_pose(write(tmp_path / "p.json", content))
            assert found.size == SIZE
            check(found)

    @pytest.mark.parametrize("keys, says", [
        ({"width": 128}, "image_width and no image_height"), ({"width": 128, "height": "tall"}, "tall"),
        ({"resolution": [128, 256]}, "which is the height"), ({"width": 0, "height": 2}, "size"),
        ({**CANVAS, "image_width": 64, "image_height": 64}, "256x128 and 64x64")])
    def test_sizes_that_cannot_be(self, tmp_path, keys, says):
        with pytest.raises(UserError, match=says):
            read_pose(write(tmp_path / "p.json", openpose(joints(OPENPOSE), **keys)))

    def test_the_size_belongs_to_the_picture(self, tmp_path):
        content = {"images": [{"id": 1, "file_name": "in/small.png", "width": 128, "height": 256},
                              {"id": 2, "file_name": "wide.png", "width": 400, "height": 300}],
                   "annotations": [coco(joints(COCO), image_id=i, bbox=[0, 0, 9, 9]) for i in (1, 2)]}
        path = write(tmp_path / "p.json", content)
        assert read_pose(path, row="small.png").size == SIZE
        assert read_pose(path, row="wide.png").size == (300, 400)
        with pytest.raises(UserError, match="300x400, the photo has 256x128"):
            find_photo_pose(path, "wide.png", SIZE)
        check(find_photo_pose(path, tmp_path / "small.png", SIZE))

    def test_a_box_is_no_picture(self, tmp_path):
        row = coco(joints(COCO), x=60, y=120, width=70, height=230)
        assert read_pose(write(tmp_path / "p.json", [row])).size is None

    def test_a_detector_that_ran_on_a_larger_copy(self, tmp_path):
        large = openpose(joints(OPENPOSE, by=(1.25, 1.25)), canvas_width=160, canvas_height=320)
        path = write(tmp_path / "x.json", large)
        check(find_photo_pose(path, "x.png", SIZE), atol=0.15)
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "x.png")
        judged = FoundPoses([tmp_path / "x.png"], OPENPOSE).poses(np.zeros((1, *SIZE, 3), np.uint8))
        np.testing.assert_allclose(judged[0, 0], [69.5, 22.25, 1], atol=0.15)
        Image.fromarray(np.zeros((256, 256, 3), np.uint8)).save(tmp_path / "x.png")
        with pytest.raises(UserError, match="320x160, the photo has 256x256"):
            FoundPoses([tmp_path / "x.png"], OPENPOSE)


class TestConfidences:
    def test_low_ones_are_missing_and_said(self, tmp_path):
        low = ("left_wrist", "right_wrist", "left_knee", "left_ankle")
        points = joints(COCO, third=0.95)
        points[[COCO.index(j) for j in low]] = [14, 17, 0.03]
        path = write(tmp_path / "p.json", [coco(points, box=[1, 2, 3, 4], idx=[0.0])])
        found = read_pose(path)
        check(found, missing=low)
        assert "4 joints of a confidence below 0.3" in found.notes[0]
        check(read_pose(path, min_confidence=0.96 - 0.02), missing=low)
        assert (read_pose(path, min_confidence=0).pose[:, 2] > 0).all()

    def test_flags_are_no_confidences(self, tmp_path):
        points = joints(COCO, third=2, missing=("nose",))
        points[5:9, 2] = 1
        found = read_pose(write(tmp_path / "p.json", coco(points)))
        check(found, missing=("nose",))
        assert set(found.pose[:, 2]) == {0, 1} and not found.notes

    @pytest.mark.parametrize("third", [87.0, 3, 255, -0.5])
    def test_numbers_that_are_neither(self, tmp_path, third):
        with pytest.raises(UserError, match="visibility outside of 0 to 1"):
            read_pose(write(tmp_path / "p.json", coco(joints(COCO, third=third))))

    def test_detectors_pass_one_by_a_little(self, tmp_path):
        found = read_pose(write(tmp_path / "p.json", coco(joints(COCO, third=1.04))))
        assert (found.pose[:, 2] == 1).all()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_and_names_that_look_alike(tmp_path, encoding):
    path = write(tmp_path / "p.csv", csv([("Zoe\u0308.jpg", joints(OPENPOSE)),
                                          ("b.jpg", joints(OPENPOSE, by=(2, 2)))]), encoding)
    check(read_pose(path, row="Zo\u00eb.jpg"))


def test_body25_and_market14(tmp_path):
    points = np.array([(*JOINTS.get(j, (60, 60)), 1) for j in BODY25.joints])
    check(read_pose(write(tmp_path / "p.json", openpose(points))))
    known = JOINTS | {"head_top": (66, 5)}
    path = write(tmp_path / "m.csv", csv([("a", np.array([(*known[j], 1) for j in MARKET14.joints]))]))
    check(read_pose(path), of=known)


def test_a_pose_of_a_few_pixels_or_mostly_outside(tmp_path):
    small = write(tmp_path / "s.json", {**openpose(joints(OPENPOSE, by=FRACTIONS)), "unit": "px"})
    with pytest.raises(UserError, match="less than 4 pixels"):
        find_photo_pose(small, "a.png", SIZE)
    large = write(tmp_path / "l.json", openpose(joints(OPENPOSE, by=(4, 4))))
    with pytest.raises(UserError, match="joints outside of the picture"):
        find_photo_pose(large, "a.png", SIZE)


class TestCommand:
    """`repose pose FILE`: says what was read, and writes it in every format."""

    @pytest.mark.parametrize("format, suffix", [
        ("ours", ".json"), ("openpose", ".json"), ("coco", ".json"), ("csv", ".csv"),
        ("text", ".txt")])
    def test_there_and_back(self, tmp_path, capsys, format, suffix):
        points = joints(OPENPOSE, by=FRACTIONS, third=0.9, missing=("left_wrist",))
        points[OPENPOSE.index("nose"), 2] = 0.05
        path = write(tmp_path / "a.json", openpose(points, image_height=256, image_width=128))
        out = tmp_path / f"out{suffix}"
        assert main(["pose", str(path), "-o", str(out), "--format", format]) == 0
        said = capsys.readouterr().out
        for word in ("format openpose, in fractions", "people: 1, pictures: 1", "of 256x128",
                     "1 joints of a confidence below 0.3", "left_wrist", "missing"):
            assert word in said
        check(read_pose(out, size=SIZE), missing=("left_wrist", "nose"))

    def test_a_size_makes_pixels_of_fractions(self, tmp_path, capsys):
        path = write(tmp_path / "a.csv", csv([("a.jpg", joints(OPENPOSE, by=FRACTIONS)),
                                              ("b.jpg", joints(OPENPOSE, by=FRACTIONS))]))
        out = tmp_path / "o.json"
        assert main(["pose", str(path), "-o", str(out), "--name", "b.jpg"]) == 2
        assert not out.exists()
        assert main(["pose", str(path), "-o", str(out), "--name", "b.jpg", "--size", "256", "128"]) == 0
        check(read_pose(out))
        assert main(["pose", str(path), "--size", "256", "128"]) == 2
        assert "name one of them" in capsys.readouterr().err

    @pytest.mark.parametrize("more, says", [
        (["-o", "x.txt"], "end in .json"), (["--draw", "x.png"], "--draw"),
        (["--format", "csv", "-o", "x.json"], "end in .csv"),
        (["--size", "0", "3"], "size: is (0, 3)")])
    def test_options_that_cannot_be(self, tmp_path, capsys, monkeypatch, more, says):
        monkeypatch.chdir(tmp_path)
        path = write(tmp_path / "a.json", openpose(joints(OPENPOSE)))
        assert main(["pose", str(path), *more]) == 2
        assert says in capsys.readouterr().err and not (tmp_path / "x.json").exists()
