"""The readers against damaged files: a value or one line, never a traceback."""

import io
import json
import pathlib
import tempfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image

from pose_files import COCO, FRACTIONS, OPENPOSE, SIZE, coco, csv, joints, landmarks, openpose
from repose_jax.common.errors import UserError
from repose_jax.data.image.files import frame_note, image_size, read_image
from repose_jax.pose.formats import find_photo_pose, find_pose, pose_beside, read_csv_poses, read_poses

QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def whole_files():
    """A good file of each format, as bytes."""
    points = joints(OPENPOSE)
    text = "".join(f"{x} {y}\n" for x, y in points[:, :2].tolist())
    files = [openpose(points, points, canvas_width=128, canvas_height=256),
             {"images": [{"id": 1, "file_name": "a.png", "width": 128, "height": 256}],
              "categories": [{"id": 1, "keypoints": list(COCO.joints)}],
              "annotations": [coco(joints(COCO), image_id=1)] * 2},
             {"landmarks": [landmarks(np.full((33, 3), 0.5))], "image_height": 9, "image_width": 9},
             {"skeleton": "coco17", "size": [9, 9], "joints": {"nose": [1, 2], "left_eye": [3, 4]}}]
    return [json.dumps(f).encode() for f in files] + [
        csv([("a.jpg", points), ("b.jpg", joints(OPENPOSE, by=FRACTIONS))]).encode(), text.encode()]


DAMAGE = st.lists(st.tuples(st.sampled_from(["flip", "cut", "drop", "insert", "swap"]),
                            st.integers(0, 2**31), st.integers(1, 255)), min_size=1, max_size=4)


def damaged(content, changes):
    content = bytearray(content)
    for what, place, value in changes:
        if not content:
            break
        place %= len(content)
        if what == "flip":
            content[place] ^= value
        elif what == "cut":
            del content[place:]
        elif what == "drop":
            del content[place:place + value]
        elif what == "insert":
            content[place:place] = bytes([value]) * (value % 7)
        else:
            content[place:place + 2] = content[place:place + 2][::-1]
    return bytes(content)


def check_damage(content, changes):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "a.json")
        path.write_bytes(damaged(content, changes))
        for read in (read_poses, find_pose, lambda p: find_photo_pose(p, "a.png", SIZE),
                     read_csv_poses, lambda p: pose_beside(p.with_suffix(".png"))):
            try:
                found = read(path)
            except UserError as error:
                assert "\n" not in str(error) and str(path) in str(error)
            else:
                if found is not None and hasattr(found, "pose"):
                    assert np.isfinite(found.pose).all()


@settings(max_examples=100, **QUIET)
@given(st.sampled_from(whole_files()), DAMAGE)
def test_damaged_pose_files_are_a_line(content, changes):
    check_damage(content, changes)


@pytest.mark.slow
@settings(max_examples=3000, **QUIET)
@given(st.sampled_from(whole_files()), DAMAGE)
def test_damaged_pose_files_are_a_line_at_length(content, changes):
    check_damage(content, changes)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 10**7), st.floats(allow_nan=False, width=32),
              st.sampled_from(["nose", "a.png", "openpose18", "pixels"])),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from([
        "people", "pose_keypoints_2d", "annotations", "keypoints", "images", "categories", "id",
        "image_id", "landmarks", "joints", "skeleton", "size", "width", "height", "unit", "name", "x",
        "y", "meta", "keypoint_names", "position", "keypoint_scores"]), inner, max_size=5)),
    max_leaves=20)


def check_any_json(content):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "a.json")
        path.write_text(json.dumps(content))
        for read in (find_pose, lambda p: find_photo_pose(p, "a.png", SIZE)):
            try:
                read(path)
            except UserError as error:
                assert "\n" not in str(error)
        assert pose_beside(path.with_suffix(".png"))[0] in (str(path), None)


@settings(max_examples=100, **QUIET)
@given(JSON)
def test_any_json_is_a_pose_or_a_line(content):
    check_any_json(content)


@pytest.mark.slow
@settings(max_examples=3000, **QUIET)
@given(JSON)
def test_any_json_is_a_pose_or_a_line_at_length(content):
    check_any_json(content)


def whole_pictures():
    """Small pictures of each format and of several modes, with tags."""
    block = Image.Exif()
    block[0x0112], block[0x010F] = 6, "maker"
    found = []
    for kind, mode in (("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("PNG", "P"),
                       ("PNG", "I;16"), ("WEBP", "RGB"), ("AVIF", "RGB"), ("TIFF", "F"),
                       ("TIFF", "RGB"), ("GIF", "P"), ("BMP", "RGB")):
        picture = Image.new(mode, (9, 7), 1 if mode in ("P", "F", "I;16") else None)
        content = io.BytesIO()
        picture.save(content, kind, **({"exif": block} if kind not in ("GIF", "BMP") else {}))
        found.append(content.getvalue())
    return found


def check_picture(content, changes):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "a.png")
        path.write_bytes(damaged(content, changes))
        for read in (read_image, image_size, frame_note):
            try:
                found = read(path)
            except UserError as error:
                assert "\n" not in str(error) and str(path) in str(error)
            else:
                if read is read_image:
                    assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3


@settings(max_examples=100, **QUIET)
@given(st.sampled_from(whole_pictures()), DAMAGE)
def test_damaged_pictures_are_a_line(content, changes):
    check_picture(content, changes)


@pytest.mark.slow
@settings(max_examples=3000, **QUIET)
@given(st.sampled_from(whole_pictures()), DAMAGE)
def test_damaged_pictures_are_a_line_at_length(content, changes):
    check_picture(content, changes)
