"""The readers against random files: the truth or one line, never another pose, never a traceback.

Random people are written as each format can be written, with the truth beside them.
"""

import json
import pathlib
import tempfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from pose_files import COCO, OPENPOSE, csv, landmarks, openpose
from repose_jax.pose.detectors import BODY25, HALPE26, MEDIAPIPE33, WHOLEBODY23
from repose_jax.pose.formats import find_photo_pose, find_pose, read_csv_poses
from repose_jax.pose.named_poses import NamedPose
from repose_jax.pose.pose_writers import write_pose
from repose_jax.pose.skeleton import MARKET14

QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck)}
MIN = 0.3
UNITS = {"pixels": ("pixels", "px"), "fractions": ("fractions", "normalized", "relative"),
         "percent": ("percent", "%")}
SPELLINGS = [lambda h, w: {"canvas_height": h, "canvas_width": w}, lambda h, w: {"h": h, "w": w},
             lambda h, w: {"width": w, "height": h}, lambda h, w: {"imageWidth": w, "imageHeight": h},
             lambda h, w: {"image_width": float(w), "image_height": h}, lambda h, w: {"size": [h, w]},
             lambda h, w: {"meta": {"img_shape": [h, w, 3]}},
             lambda h, w: {"image": {"width": w, "height": h}}]
EXTRAS = st.dictionaries(st.sampled_from(["version", "info", "licenses", "score", "bbox", "note"]),
                         st.sampled_from([1.3, "text", None, [1, 2], {"a": 1}]), max_size=3)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])


@st.composite
def people(draw, skeleton, *, least=6, many=3):
    """(size, [[J, 3] of each person]): in pixels, of at least 40, confidences, 0 for missing."""
    size = draw(st.integers(64, 2000)), draw(st.integers(64, 2000))
    found = []
    for _ in range(draw(st.integers(1, many))):
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        reach = draw(st.sampled_from([0.0, 0.1]))  # beyond the picture's edges
        low, high = -reach * np.array(size[::-1]), (1 + reach) * np.array(size[::-1])
        pose = np.concatenate([rng.uniform(low, high, (len(skeleton), 2)).round(3),
                               rng.uniform(0.35, 1, (len(skeleton), 1)).round(3)], 1)
        pose[:2, :2] = [[3.5, 3.5], np.array(size[::-1]) - 3.5]  # of a size that is a person's
        lost = rng.permutation(len(skeleton) - 2)[:draw(st.integers(0, len(skeleton) - least))] + 2
        pose[lost] = 0
        doubted = draw(st.sampled_from([0, 0, 1, 2]))
        pose[2:2 + doubted, 2] *= 0.3
        found.append(pose)
    return size, found


def truth(pose):
    return np.where(pose[:, 2:] >= MIN, pose, 0)


def per_joint(pose, size, unit, offset=0.0):
    """Coordinates as a file of a unit has them."""
    xy = pose[:, :2] + offset
    scale = {"pixels": (1, 1), "fractions": size[::-1], "percent": np.array(size[::-1]) / 100}[unit]
    return np.concatenate([np.where(pose[:, 2:] > 0, xy / scale, 0), pose[:, 2:]], 1)


def missing_as(points, mark):
    return np.where(points[:, 2:] > 0, points, [*mark, 0])


def stated(draw, unit):
    """Whether the unit is written into the file; percents must be."""
    if unit == "percent" or draw(st.booleans()):
        return {draw(st.sampled_from(["unit", "units"])): draw(st.sampled_from(UNITS[unit]))}
    return {}


@st.composite
def openpose_files(draw):
    size, poses = draw(people(OPENPOSE))
    unit = draw(st.sampled_from(list(UNITS)))
    mark = draw(st.sampled_from([(0, 0), (-1, -1)]))
    written = [missing_as(per_joint(p, size, unit), mark) for p in poses]
    if draw(st.booleans()):  # BODY_25: a mid hip and feet, which are left out
        written = [np.concatenate([np.insert(w, 8, w[1], 0), w[[0] * 6]]) for w in written]
    content = openpose(*written, **draw(st.sampled_from(SPELLINGS))(*size), **stated(draw, unit))
    content |= draw(EXTRAS) | {"people": content["people"]}
    return [content] if draw(st.booleans()) else content, size, OPENPOSE, poses, 0.0


@st.composite
def coco_files(draw):
    skeleton = draw(st.sampled_from([COCO, HALPE26, WHOLEBODY23]))
    size, poses = draw(people(skeleton))
    unit = draw(st.sampled_from(list(UNITS)))
    if flags := draw(st.booleans()):
        poses = [np.concatenate([p[:, :2] * (p[:, 2:] > 0), p[:, 2:] > 0], 1) for p in poses]
    order = list(range(len(skeleton)))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    names, rows = {}, []
    if named := draw(st.booleans()):
        order = rng.permutation(len(skeleton)).tolist()
    spell = draw(st.sampled_from([str, str.upper, lambda j: j.replace("_", " "),
                                  lambda j: j.replace("left_", "l_").replace("right_", "r_")]))
    stated_names = [spell(skeleton.joints[i]) for i in order]
    nesting = draw(st.sampled_from(["flat", "nested", "dicts"] if named else ["flat", "nested"]))
    for pose in poses:
        points = per_joint(pose, size, unit)[order]
        if flags:
            points[:, 2] *= rng.integers(1, 3, len(points))
        row = {"image_id": 7, "category_id": 1, **draw(EXTRAS)}
        if nesting == "flat":
            row["keypoints"] = points.ravel().tolist()
        elif nesting == "nested":
            row |= {"keypoints": points[:, :2].tolist(), "keypoint_scores": points[:, 2].tolist()}
        else:
            row["keypoints"] = [{"name": n, "x": x, "y": y, "score": c} for n, (x, y, c) in zip(
                stated_names, points.tolist(), strict=True)]
        rows.append(row)
    if named:
        names = {"categories": [{"id": 1, "name": "person", "keypoints": stated_names}]}
    # A picture of another size is in nobody's way, nor is its annotation without keypoints.
    images = [{"id": 7, "file_name": "a.png", "height": size[0], "width": size[1]},
              {"id": 8, "file_name": "b.png", "height": 11, "width": 12}]
    if draw(st.booleans()):
        rows.insert(draw(st.integers(0, len(rows))), {"id": 1, "image_id": 8, "bbox": [1, 2, 3, 4]})
    content = {"images": images, **names, "annotations": rows, **stated(draw, unit)}
    return content, size, skeleton, poses, 0.0


@st.composite
def landmark_files(draw):
    size, poses = draw(people(MEDIAPIPE33, least=12))
    unit = draw(st.sampled_from(list(UNITS)))
    poses = [np.where(p[:, 2:] > 0, p, [5, 5, 0]) for p in poses]
    written = [landmarks(per_joint(p, size, unit, 0.5)) for p in poses]
    key = draw(st.sampled_from(["landmarks", "pose_landmarks", "poseLandmarks"]))
    content = {key: written[0] if len(written) == 1 and draw(st.booleans()) else written,
               **draw(st.sampled_from(SPELLINGS))(*size), **stated(draw, unit)}
    return content, size, MEDIAPIPE33, poses, 0.0


@st.composite
def own_files(draw):
    skeleton = draw(st.sampled_from([OPENPOSE, COCO, MARKET14, BODY25]))
    size, poses = draw(people(skeleton, many=1))
    unit = draw(st.sampled_from(list(UNITS)))
    points = per_joint(poses[0], size, unit).tolist()
    named = [(j, p) for j, p in zip(skeleton.joints, points, strict=True) if p[2] > 0]
    content = {"skeleton": skeleton.name, "size": list(size), **stated(draw, unit),
               "joints": dict(draw(st.permutations(named)))}
    return content, size, skeleton, poses, MIN  # what it doubts it has left out


FILES = {"openpose": openpose_files(), "coco": coco_files(), "landmarks": landmark_files(),
         "ours": own_files()}


def check_json(kind, case, encoding, chosen):
    content, size, skeleton, poses, lowest = case
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "a.json")
        path.write_bytes(json.dumps(content, ensure_ascii=False).encode(encoding))
        person = chosen % len(poses)
        row = "a.png" if kind == "coco" else None
        found = find_pose(path, person=person, row=row)
        wanted = poses[person] if lowest else truth(poses[person])
        assert found.skeleton == skeleton and found.size == size
        np.testing.assert_allclose(found.pose, wanted, atol=2e-3 * max(1, max(size) / 500))
        # Written in our own format it comes back; of twice the size it moves along.
        write_pose(path, found)
        np.testing.assert_allclose(find_pose(path).pose, found.pose, atol=1e-3)
        outside = ((wanted[:, :2] < -0.5) | (wanted[:, :2] > np.array(size[::-1]) - 0.5)).any(1)
        if outside[wanted[:, 2] > 0].mean() < 0.5:
            twice = find_photo_pose(path, "a.png", (2 * size[0], 2 * size[1]))
            known = wanted[:, 2] > 0
            np.testing.assert_allclose(twice.pose[known, :2], 2 * wanted[known, :2] + 0.5, atol=0.05)


@pytest.mark.parametrize("kind", FILES)
@settings(max_examples=25, **QUIET)
@given(data=st.data())
def test_the_truth_is_read(kind, data):
    check_json(kind, data.draw(FILES[kind]), data.draw(ENCODINGS), data.draw(st.integers(0, 2)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
@settings(max_examples=1000, **QUIET)
@given(data=st.data())
def test_the_truth_is_read_at_length(kind, data):
    check_json(kind, data.draw(FILES[kind]), data.draw(ENCODINGS), data.draw(st.integers(0, 2)))


@st.composite
def csv_files(draw):
    skeleton = draw(st.sampled_from([OPENPOSE, COCO, MARKET14]))
    size, poses = draw(people(skeleton, many=6))
    poses = [np.where(p[:, 2:] > 0, [*[1] * 2, 0] * p + [0, 0, 1], 0) for p in poses]
    unit = draw(st.sampled_from(["pixels", "fractions"]))
    written = [per_joint(p, size, unit) for p in poses]
    zeros = draw(st.booleans()) and any((p[:, 2] == 0).sum() >= 2 for p in poses)
    if zeros:
        written = [w + (w[:, 2:] == 0) * [0, 0, 1] for w in written]
    names = [draw(st.sampled_from(["a{}.jpg", "x:{}.png", "Zo\u00eb{}.jpg", "in/{} b.jpg"])).format(i)
             for i in range(len(poses))]
    text = csv(zip(names, written, strict=True))
    return (text if draw(st.booleans()) else text.split("\n", 1)[1]), size, skeleton, poses, names


def check_csv(case, encoding):
    text, size, skeleton, poses, names = case
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "a.csv")
        path.write_bytes(text.encode(encoding))
        table = read_csv_poses(path, size_of=lambda name: size)
        assert table.skeleton is skeleton and table.names == tuple(names)
        np.testing.assert_allclose(table.poses, poses, atol=5e-3)
        found = find_pose(path, row=names[-1], size=size)
        np.testing.assert_allclose(found.pose, poses[-1], atol=5e-3)


@settings(max_examples=25, **QUIET)
@given(csv_files(), ENCODINGS)
def test_the_truth_is_read_from_csv(case, encoding):
    check_csv(case, encoding)


@pytest.mark.slow
@settings(max_examples=1000, **QUIET)
@given(csv_files(), ENCODINGS)
def test_the_truth_is_read_from_csv_at_length(case, encoding):
    check_csv(case, encoding)


FORMATS = ("openpose", "coco", "csv", "text", "ours")


def check_written(case, format):
    """What a writer writes is what the reader reads, of the joints that the format has."""
    size, poses = case
    pose = truth(poses[0]).astype(np.float32)
    named = NamedPose(pose=pose, name="a", skeleton=OPENPOSE, size=size)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "a.any")
        write_pose(path, named, format)
        found = find_pose(path, size=size)
        for number, joint in enumerate(OPENPOSE.joints):
            if joint in found.skeleton.joints:
                read = found.pose[found.skeleton.index(joint)]
                assert (read[2] > 0) == (pose[number, 2] > 0)
                np.testing.assert_allclose(read[:2], pose[number, :2], atol=0.01 * max(size) / 256)


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=10, **QUIET)
@given(case=people(OPENPOSE))
def test_writers_and_the_reader_agree(format, case):
    check_written(case, format)


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=1000, **QUIET)
@given(case=people(OPENPOSE))
def test_writers_and_the_reader_agree_at_length(format, case):
    check_written(case, format)
