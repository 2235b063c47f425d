"""Every pose format against values worked out by hand, and every fault in one line."""

import json

import numpy as np
import pytest
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.data.image.resize import fit_pose, letterbox, window
from repose_jax.inference.model_frame import photo_frame
from repose_jax.pose import formats
from repose_jax.pose.skeleton import COCO17, MARKET14, OPENPOSE18

X14 = [30, 32, 50, 63, 55, 15, 5, 11, 46, 40, 35, 27, 25, -1]
Y14 = [4, 28, 28, 45, 36, 29, 48, 36, 71, 92, 116, 75, 94, 117]


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def csv_line(name="a_1.jpg", y=Y14, x=X14):
    return f"{name}:{json.dumps(y)}:{json.dumps(x)}\n"


def test_csv_of_14_joints(tmp_path):
    path = write(tmp_path / "a.csv", "name:keypoints_y:keypoints_x\n" + csv_line())
    table = formats.read_poses(path)
    assert table.skeleton is MARKET14 and table.names == ("a_1.jpg",)
    np.testing.assert_array_equal(table.poses[0, 0], [30, 4, 1])
    np.testing.assert_array_equal(table.poses[0, 13], [0, 0, 0])
    assert table.poses.dtype == np.float32 and formats.read_pose(path).name == "a_1.jpg"


@pytest.mark.parametrize("skeleton", [OPENPOSE18, COCO17])
def test_csv_knows_the_skeleton_by_its_joints(tmp_path, skeleton):
    numbers = list(range(len(skeleton)))
    path = write(tmp_path / "a.csv", csv_line(y=numbers, x=numbers))
    assert formats.read_poses(path).skeleton is skeleton


def test_csv_of_several_rows_needs_a_name(tmp_path):
    path = write(tmp_path / "a.csv", csv_line("p") + csv_line("q", x=[9] * 14))
    with pytest.raises(UserError, match="2 poses.*p, q"):
        formats.read_pose(path)
    with pytest.raises(UserError, match="no pose named r"):
        formats.read_pose(path, row="r")
    assert formats.read_pose(path, row="q").pose[5, 0] == 9


def test_openpose_18_and_25(tmp_path):
    flat = [v for j in range(18) for v in (10 + j, 20 + j, 0.5)]
    path = write(tmp_path / "me_keypoints.json", {"people": [{"pose_keypoints_2d": flat}]})
    named = formats.read_pose(path)
    assert named.name == "me" and named.skeleton is OPENPOSE18
    np.testing.assert_allclose(named.pose[17], [27, 37, 0.5])
    flat = [v for j in range(25) for v in (10 + j, 20 + j, 1.02 if j else 0)]
    pose = formats.read_pose(write(path, {"people": [{"pose_keypoints_2d": flat}]})).pose
    # BODY_25: 8 is the mid hip, 9 the right hip, 15 the right eye, 18 the left ear.
    np.testing.assert_allclose(pose[[0, 7, 8, 14, 17]],
                               [[0, 0, 0], [17, 27, 1], [19, 29, 1], [25, 35, 1], [28, 38, 1]])


def test_openpose_on_a_canvas(tmp_path):
    person = {"pose_keypoints_2d": [0.5, 0.25, 1.0] * 18}
    path = write(tmp_path / "a.json",
                 [{"people": [person], "canvas_height": 200, "canvas_width": 100}])
    named = formats.read_pose(path)
    assert named.size == (200, 100)
    np.testing.assert_allclose(named.pose[3], [50, 50, 1])
    with pytest.raises(UserError, match="canvas"):
        formats.read_pose(write(path, {"people": [person]}))


def test_coco(tmp_path):
    keypoints = [v for j in range(17) for v in (j, 2 * j, j % 3)]
    content = {"images": [{"id": 7, "file_name": "x.jpg", "height": 50, "width": 40}],
               "annotations": [{"image_id": 7, "keypoints": keypoints}]}
    named = formats.read_pose(write(tmp_path / "a.json", content))
    assert (named.name, named.size, named.skeleton) == ("x.jpg", (50, 40), COCO17)
    np.testing.assert_array_equal(named.pose[[3, 4, 5]], [[0, 0, 0], [4, 8, 1], [5, 10, 1]])
    alone = formats.read_pose(write(tmp_path / "b.json", {"keypoints": keypoints}))
    assert alone.name == "b"
    np.testing.assert_array_equal(alone.pose, named.pose)
    results = formats.read_poses(write(tmp_path / "c.json", content["annotations"] * 2))
    assert results.poses.shape == (2, 17, 3)


def test_pidm_text(tmp_path):
    lines = ["128 128", "-1 -1", "40 0"] + ["216 256"] * 15
    path = write(tmp_path / "p.txt", "\n".join(lines))
    named = formats.read_pose(path, size=(512, 352))
    np.testing.assert_allclose(named.pose[:4], [[176, 256, 1], [0, 0, 0], [0, 0, 1], [352, 512, 1]])
    assert named.size == (512, 352) and named.skeleton is OPENPOSE18
    np.testing.assert_allclose(formats.read_pose(path).pose[0], [88, 128, 1])


def test_own_json_comes_back(tmp_path):
    pose = np.zeros((18, 3), np.float32)
    pose[2], pose[5] = [3.5, 4.25, 1], [1, 2, 0.5]
    named = formats.NamedPose(pose=pose, name="n", skeleton=OPENPOSE18, size=(128, 64))
    formats.write_pose(tmp_path / "o.json", named)
    back = formats.read_pose(tmp_path / "o.json")
    assert (back.name, back.skeleton, back.size) == ("n", OPENPOSE18, (128, 64))
    np.testing.assert_array_equal(back.pose, pose)
    assert [p.name for p in tmp_path.iterdir()] == ["o.json"]
    with pytest.raises(UserError, match="cannot be written"):
        formats.write_pose(tmp_path / "o.json" / "inside.json", named)


OPENPOSE_NAN = '{"people": [{"pose_keypoints_2d": [' + ", ".join(["NaN"] * 54) + "]}]}"
OWN = {"skeleton": "openpose18", "joints": {"nose": [1, 2]}}


@pytest.mark.parametrize("content, says", [
    ("", "empty"),
    ("  \n", "empty"),
    (csv_line(x=["a"] * 14), "line 1.*'a'"),
    (csv_line() + csv_line("b", x=[float("nan")] * 14), r"line 2 \(b\).*NaN"),
    (csv_line(x=[float("inf")] * 14), "Infinity"),
    (csv_line(x=[1e300] * 14), "size"),
    (csv_line(x=X14[:-1]), "14 y values and 13 x values"),
    (csv_line(x=X14[:3], y=Y14[:3]), "3 joints"),
    (csv_line() + csv_line(x=[1] * 18, y=[1] * 18), "line 2.*18 joints"),
    ("a.jpg:[1, 2:[3]", "list of numbers"),
    ("a.jpg:1:2", "no list"),
    ("a:b", "fewer than three"),
    ("name:keypoints_y:keypoints_x\n", "no rows"),
    (csv_line(x=[-1] * 14), "every joint"),
    ("1 2\n" * 17, "17 lines"),
    ("1 2\n" * 17 + "1 b", "text in line 18"),
    ("1 2\n" * 17 + "1 nan", "not finite"),
    ("1 2 3\n" * 18, "3 numbers in line 1"),
    ("-1 -1\n" * 18, "every joint"),
    ("{", "JSON"),
    ("{}", "none of the keys"),
    ("[]", "no people"),
    ({"people": []}, "no people"),
    ({"people": [{}]}, "no list"),
    ({"people": [{"pose_keypoints_2d": [1, 2, 1] * 5}]}, "5 joints"),
    ({"people": [{"pose_keypoints_2d": [1, 2] * 4}]}, "three a joint"),
    ({"people": [{"pose_keypoints_2d": [1, 2, 0] * 18}]}, "every joint"),
    (OPENPOSE_NAN, "NaN"),
    ({"keypoints": [1, 2, 1] * 16}, "16 joints"),
    ({"annotations": [{}]}, "no keypoints"),
    ({"images": [{"id": 1, "height": "x", "width": 2}],
      "annotations": [{"image_id": 1, "keypoints": [1, 2, 1] * 17}]}, "size"),
    ({**OWN, "skeleton": "spider"}, "spider.*openpose18"),
    ({**OWN, "joints": {"tail": [1, 2]}}, "tail"),
    ({**OWN, "joints": {"nose": [1]}}, "1 numbers"),
    ({**OWN, "joints": {"nose": "here"}}, "nose"),
    ({**OWN, "joints": {"nose": [1, 2, 3]}}, "visibility"),
    ({**OWN, "joints": {}}, "every joint"),
    ({**OWN, "joints": []}, "joints"),
    ({**OWN, "size": [0, 4]}, "size"),
])
def test_faults_name_the_file(tmp_path, content, says):
    path = write(tmp_path / "fault.xyz", content)
    with pytest.raises(UserError, match=says) as caught:
        formats.read_pose(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_are_no_text(tmp_path):
    path = tmp_path / "a.json"
    for spoil, says in ((lambda: None, "cannot be read"),
                        (lambda: path.write_bytes(b"\xff\xd8\xff\xe0"), "not a text")):
        spoil()
        with pytest.raises(UserError, match=says):
            formats.read_pose(path)
    with pytest.raises(UserError, match="cannot be read"):
        formats.read_pose(tmp_path)


def test_convert_by_joint_names():
    pose = np.stack([np.arange(17), np.arange(17) * 2, np.ones(17)], -1).astype(np.float32)
    out, lost = formats.convert(pose, COCO17, OPENPOSE18)
    assert not lost
    np.testing.assert_array_equal(out[1], (pose[5] + pose[6]) / 2)
    for joint in set(COCO17.joints) & set(OPENPOSE18.joints):
        np.testing.assert_array_equal(out[OPENPOSE18.index(joint)], pose[COCO17.index(joint)])
    pose[5, 2] = 0
    out, lost = formats.convert(pose[None], COCO17, MARKET14)
    assert lost == ["head_top"] and out.shape == (1, 14, 3)
    assert not out[0, :2].any()
    assert formats.convert(out, MARKET14, COCO17)[1] == [
        "nose", "left_eye", "right_eye", "left_ear", "right_ear"]


def test_letterbox_moves_pose_and_picture_alike():
    image = np.zeros((40, 40, 3), np.uint8)
    image[20:24, 8:12] = 255
    pose = np.array([[9.5, 21.5, 1], [0, 0, 0]], np.float32)
    picture, moved, note = letterbox(image, pose, (128, 64))
    bright = np.argwhere(picture[..., 0] > 127)
    np.testing.assert_allclose(moved[0, 1::-1], bright.mean(0), atol=0.3)
    assert picture.shape == (128, 64, 3) and "40x40" in note and "padded" in note
    np.testing.assert_array_equal(moved[1], 0)
    np.testing.assert_array_equal(fit_pose(pose, (40, 40), (128, 64)), moved)
    assert letterbox(image, None, (40, 40))[2] is None


@pytest.mark.parametrize("photo, frame", [
    ((1101, 750), (256, 176)), ((256, 176), (256, 176)), ((300, 200), (256, 176)),
    ((400, 300), (256, 192)), ((100, 100), (256, 256)), ((300, 900), (256, 256)),
    ((256, 128), (256, 128)), ((255, 128), (256, 128)), ((900, 300), (256, 128))])
def test_a_photo_is_painted_as_wide_as_it_is(photo, frame):
    assert photo_frame(photo, (256, 128), 16) == frame


@pytest.mark.parametrize("photo", [(1101, 750), (75, 50), (300, 900), (128, 64), (31, 64)])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_window_is_what_the_photo_fills(photo, times):
    inner = window(photo, (128, 64))
    image = np.random.default_rng(0).integers(0, 256, (*photo, 3)).astype(np.uint8)
    large = letterbox(image, None, (128, 64), times)[0]
    assert large.shape == (times * 128, times * 64, 3)
    cut = inner.cut(large, times)
    assert cut.shape[:2] == tuple(times * side for side in inner.size)
    wanted = np.asarray(Image.fromarray(image).resize(cut.shape[1::-1], Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(cut, wanted)
    # Its aspect is the photo's, to a pixel of the frame.
    assert inner.size[0] * photo[1] / photo[0] == pytest.approx(inner.size[1], abs=1.5)
    np.testing.assert_array_equal(letterbox(cut, None, (128, 64), times)[0], large)
