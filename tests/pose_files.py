"""One person of 128x256 written as programs of the field write them, to test the reader against."""

import json

import numpy as np

from repose_jax.pose.skeleton import COCO17, OPENPOSE18

SIZE = (256, 128)
#: x and y of every joint in pixels of a picture of 256x128.
JOINTS = {
    "nose": (69.5, 22.25), "neck": (66.5, 52), "right_shoulder": (43.125, 51.5),
    "right_elbow": (36, 94.125), "right_wrist": (29.75, 122.5), "left_shoulder": (90.125, 52.5),
    "left_elbow": (96, 95.75), "left_wrist": (100.75, 129.5), "right_hip": (51.5, 114.5),
    "right_knee": (52.75, 174.5), "right_ankle": (55.5, 211.25), "left_hip": (78, 115.25),
    "left_knee": (84.5, 174.25), "left_ankle": (91.25, 237), "right_eye": (64.5, 18.25),
    "left_eye": (73.75, 18.75), "right_ear": (56.5, 24.75), "left_ear": (77.5, 26)}


def joints(skeleton, *, by=(1.0, 1.0), third=1.0, missing=()):
    """[J, 3] of a skeleton, x and y times `by`; missing joints are zeros."""
    rows = [(JOINTS[j][0] * by[0], JOINTS[j][1] * by[1], third) if j not in missing else (0, 0, 0)
            for j in skeleton.joints]
    return np.array(rows, np.float64)


FRACTIONS = (1 / SIZE[1], 1 / SIZE[0])


def flat(points):
    return np.asarray(points, np.float64).ravel().tolist()


def openpose(*people, **keys):
    return {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": flat(p)}
                                       for p in people], **keys}


def coco(points, **keys):
    return {"image_id": "a.jpg", "category_id": 1, "keypoints": flat(points), "score": 0.9, **keys}


def csv(rows):
    """Rows of (name, points), missing joints being -1."""
    lines = ["name:keypoints_y:keypoints_x"]
    for name, points in rows:
        xy = np.where(points[:, 2:] > 0, points[:, :2], -1)
        lines.append(f"{name}:{xy[:, 1].tolist()}:{xy[:, 0].tolist()}")
    return "\n".join(lines) + "\n"


def landmarks(points):
    return [{"x": x, "y": y, "z": 0.1, "visibility": v} for x, y, v in np.asarray(points).tolist()]


def write(path, content, encoding="utf-8"):
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    path.write_bytes(text.encode(encoding))
    return path


COCO, OPENPOSE = COCO17, OPENPOSE18


def check(found, *, of=JOINTS, shift=0.0, missing=(), atol=2e-3):
    """Every joint of the right person is where it should be, and no other is there."""
    for joint, row in zip(found.skeleton.joints, found.pose, strict=True):
        if joint not in of or joint in missing:
            assert not row.any(), joint
        else:
            np.testing.assert_allclose(row[:2], np.array(of[joint]) + shift, atol=atol,
                                       err_msg=joint)
            assert row[2] > 0
