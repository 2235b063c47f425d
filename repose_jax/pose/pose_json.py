"""Reads the pose files that are JSON: our own, OpenPose's, COCO's and MediaPipe's."""

from __future__ import annotations

import json
import os

import numpy as np

from repose_jax.pose.detectors import LAYOUTS, MEDIAPIPE33, landmarks, layout_of
from repose_jax.pose.named_poses import Fault, NamedPoses, numbers, refuse_constant
from repose_jax.pose.skeleton import OPENPOSE18, Skeleton


def read_json(path: str | os.PathLike[str], text: str) -> NamedPoses:
    """Our own JSON, OpenPose's, COCO's or MediaPipe's, told apart by their keys."""
    try:
        content = json.loads(text, parse_constant=refuse_constant)
    except json.JSONDecodeError as error:
        raise Fault(f"is not valid JSON (line {error.lineno}: {error.msg})") from None
    except (ValueError, RecursionError):
        raise Fault("is not valid JSON") from None
    stem = os.path.splitext(os.path.basename(os.fspath(path)))[0].removesuffix("_keypoints")
    if isinstance(content, dict) and "joints" in content:
        return _read_own(content, stem)
    if isinstance(content, dict) and "people" in content:
        return _read_openpose(content, stem)
    for key in ("landmarks", "pose_landmarks", "poseLandmarks"):
        if isinstance(content, dict) and key in content:
            return _read_landmarks(content, content[key], stem)
    if isinstance(content, dict) and "keypoints" in content:
        return _read_coco({"annotations": [content]}, stem)
    if isinstance(content, list):
        if len(content) == 1 and isinstance(content[0], dict) and "people" in content[0]:
            return _read_openpose(content[0], stem)
        return _read_coco({"annotations": content}, stem)
    if isinstance(content, dict) and "annotations" in content:
        return _read_coco(content, stem)
    raise Fault("has none of the keys joints, people (OpenPose), annotations or keypoints (COCO), "
                "landmarks (MediaPipe)")


def _read_own(content: dict, stem: str) -> NamedPoses:
    skeleton = LAYOUTS.get(str(content.get("skeleton")))
    if skeleton is None:
        raise Fault(f"names the skeleton {str(content.get('skeleton'))[:40]!r}; known are "
                    f"{', '.join(LAYOUTS)}")
    size = None if content.get("size") is None else _size(content["size"])
    joints = content["joints"]
    if not isinstance(joints, dict):
        raise Fault('has no {"joint": [x, y]} under joints')
    pose = np.zeros((len(skeleton), 3), np.float32)
    for joint, values in joints.items():
        if joint not in skeleton.joints:
            raise Fault(f"has the joint {joint!r}, which {skeleton.name} lacks")
        if len(numbers(values, joint)) not in (2, 3):
            raise Fault(f"has {len(values)} numbers for {joint}, not x, y or x, y, visibility")
        pose[skeleton.index(joint)] = [*values, 1.0][:3]
    return NamedPoses(poses=_known(pose)[None], names=(str(content.get("name", stem)),),
                      skeleton=skeleton, size=size)


def _size(values: object) -> tuple[int, int]:
    if len(numbers(values, "the size")) != 2 or min(values) < 1:
        raise Fault(f"has the size {values}, not [height, width]")
    return int(values[0]), int(values[1])


def _known(pose: np.ndarray) -> np.ndarray:
    """Zeroes the coordinates of joints whose visibility is 0; refuses what is not finite."""
    if not np.isfinite(pose).all():
        raise Fault("has a number that is not finite")
    if ((pose[:, 2] < 0) | (pose[:, 2] > 1)).any():
        raise Fault("has a visibility outside of 0 to 1")
    return np.where(pose[:, 2:] > 0, pose, 0).astype(np.float32)


def _triples(values: object, what: str) -> np.ndarray:
    values = numbers(values, what)
    if len(values) % 3:
        raise Fault(f"has {len(values)} numbers in {what}, not three a joint")
    return np.array(values, np.float32).reshape(-1, 3)


def _read_openpose(content: dict, stem: str) -> NamedPoses:
    """COCO-18 or BODY_25, whose mid hip and feet have no place in openpose18.

    Editors of poses write the picture's size as canvas_height and canvas_width, and then some
    give coordinates in [0, 1].
    """
    size = None
    if "canvas_height" in content:
        size = _size([content["canvas_height"], content.get("canvas_width")])
    if not isinstance(content["people"], list) or not content["people"]:
        raise Fault("has no people")
    poses = []
    for person in content["people"]:
        if not isinstance(person, dict):
            raise Fault("has a person without pose_keypoints_2d")
        pose = _triples(person.get("pose_keypoints_2d"), "pose_keypoints_2d")
        if len(pose) == 25:
            pose = np.delete(pose[:19], 8, axis=0)
        if len(pose) != len(OPENPOSE18):
            raise Fault(f"has {len(pose)} joints where OpenPose has 18 or 25")
        # Its confidences may pass 1 by a little.
        pose[:, 2] = np.minimum(pose[:, 2], 1)
        if (pose[:, 2] > 0).sum() > 1 and pose[:, :2].max() <= 1:
            if size is None:
                raise Fault("has coordinates from 0 to 1 and no canvas_height and canvas_width")
            pose[:, :2] *= size[::-1]
        poses.append(_known(pose))
    return _of_one_picture(np.stack(poses), OPENPOSE18, size, stem)


def _of_one_picture(poses: np.ndarray, skeleton: Skeleton, size: tuple[int, int] | None,
                    stem: str) -> NamedPoses:
    names = (stem,) if len(poses) == 1 else tuple(f"{stem}:{i}" for i in range(len(poses)))
    return NamedPoses(poses=poses, names=names, skeleton=skeleton, size=size,
                      pictures=(stem,) * len(poses))


def _read_landmarks(content: dict, people: object, stem: str) -> NamedPoses:
    """MediaPipe's normalised landmarks, of one person or of several, beside the picture's size."""
    size = content.get("size") or [content.get("image_height"), content.get("image_width")]
    if not isinstance(size, list) or None in size:
        raise Fault("has landmarks, which are fractions of the picture, and no image_height and "
                    "image_width")
    if not isinstance(people, list) or not people:
        raise Fault("has no people")
    people = people if isinstance(people[0], list) else [people]
    try:
        poses = landmarks(people, _size(size))
    except ValueError as error:
        raise Fault(str(error)) from None
    return _of_one_picture(np.stack([_known(p) for p in poses]), MEDIAPIPE33, _size(size), stem)


def _read_coco(content: dict, stem: str) -> NamedPoses:
    """COCO keypoints, or Halpe's and COCO-WholeBody's, which are written alike.

    COCO's visibility 1 (hidden, but marked) counts as known, as 2 does; detectors write confidences
    in its place, of which all above 0 count as known.
    """
    rows, images = content["annotations"], {}
    if not isinstance(rows, list) or not rows:
        raise Fault("has no annotations")
    for image in content.get("images") or ():
        if isinstance(image, dict) and "id" in image:
            images[str(image["id"])] = image
    poses, names, pictures, sizes, skeleton = [], [], [], set(), None
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or "keypoints" not in row:
            raise Fault(f"has no keypoints in annotation {number}")
        pose = _triples(row["keypoints"], f"annotation {number}")
        try:
            layout = layout_of(len(pose))
        except ValueError as error:
            raise Fault(f"{error}, in annotation {number}") from None
        if skeleton not in (None, layout):
            raise Fault(f"has {layout.name} in annotation {number}, {skeleton.name} before it")
        skeleton, pose = layout, pose[:len(layout)]
        pose[:, 2] = pose[:, 2] > 0
        poses.append(_known(pose))
        image = images.get(str(row.get("image_id")), {})
        name = image.get("file_name") or row.get("image_id", row.get("id"))
        names.append(str(name) if name is not None else
                     stem if len(rows) == 1 else f"{stem}:{number}")
        pictures.append(stem if name is None else str(name))
        sizes.add(_size([image["height"], image.get("width")]) if "height" in image else None)
    return NamedPoses(poses=np.stack(poses), names=tuple(names), skeleton=skeleton,
                      size=sizes.pop() if len(sizes) == 1 else None, pictures=tuple(pictures))
