"""Reads the field's pose files into poses of named skeletons.

Every reader returns `NamedPoses` in pixels with the visibility of `skeleton.py` (0 = missing, and
then x = y = 0). A file that cannot be used raises `UserError` naming the file and the row.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from repose_jax.errors import UserError
from repose_jax.files import write_whole
from repose_jax.pose.skeleton import COCO17, MARKET14, OPENPOSE18, SKELETONS, Skeleton

_CSV_HEADER = "name:keypoints_y:keypoints_x"
_LARGEST = 1e6
_BY_JOINT_COUNT = {len(s): s for s in (OPENPOSE18, COCO17, MARKET14)}
_MEND_CSV = f"each line is {_CSV_HEADER}, the last two being JSON lists of pixels, -1 for missing"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NamedPoses:
    """The poses of one file.

    Attributes:
      poses: [N, J, 3], x and y in pixels and a visibility in [0, 1].
      names: a name for each row.
      skeleton: says which joint is which.
      size: (height, width) of the picture the poses belong to; None where the file does not tell.
    """

    poses: Float[np.ndarray, "n joints 3"]
    names: tuple[str, ...]
    skeleton: Skeleton
    size: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NamedPose:
    """One pose: [J, 3], its name and skeleton, and its picture's (height, width) if known."""

    pose: Float[np.ndarray, "joints 3"]
    name: str
    skeleton: Skeleton
    size: tuple[int, int] | None = None


class _Fault(Exception):
    """What is wrong with one row; the caller knows the file and the row's name."""


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file; UserError where it is missing, unreadable, empty or not text."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except UnicodeDecodeError:
        raise UserError(path, "is not a text file", "give a pose file") from None
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the path") from None
    if not text.strip():
        raise UserError(path, "is empty", "give a file that holds a pose")
    return text


def _refuse_constant(name: str):
    raise _Fault(f"has {name} for a number")


def _numbers(values: object, what: str) -> list[float]:
    if not isinstance(values, list):
        raise _Fault(f"has no list of numbers for {what}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _Fault(f"has {str(value)[:40]!r} among the numbers of {what}")
        if not abs(value) <= _LARGEST:
            raise _Fault(f"has a number of impossible size in {what}")
    return values


def _pose_from_xy(x: Sequence[float], y: Sequence[float]) -> np.ndarray:
    """[J, 3] from coordinates of which -1 stands for missing."""
    xy = np.stack([x, y], axis=-1).astype(np.float64)
    if not (np.abs(xy) <= _LARGEST).all():
        raise _Fault("has a number that is not finite or of impossible size")
    seen = (xy != -1).all(-1, keepdims=True)
    return np.concatenate([xy * seen, seen], axis=-1).astype(np.float32)


def _skeleton_of(joints: int) -> Skeleton:
    if joints not in _BY_JOINT_COUNT:
        known = ", ".join(f"{n} ({s.name})" for n, s in sorted(_BY_JOINT_COUNT.items()))
        raise _Fault(f"has {joints} joints where a skeleton has {known}")
    return _BY_JOINT_COUNT[joints]


def read_csv_poses(path: str | os.PathLike[str], text: str | None = None) -> NamedPoses:
    """Reads `name:keypoints_y:keypoints_x` (Zhu et al., PATN, CVPR 2019), -1 meaning missing.

    Args:
      path: the file, also the name that errors carry.
      text: its content where the caller has read it already.

    Returns:
      All rows; the skeleton follows from the number of joints (18, 17 or 14).
    """
    lines = (read_text(path) if text is None else text).splitlines()
    names, poses, skeleton = [], [], None
    for number, line in enumerate(lines, start=1):
        if not line.strip() or (number == 1 and line.strip() == _CSV_HEADER):
            continue
        parts = line.rsplit(":", 2)
        row = f"line {number}" if len(parts) < 3 else f"line {number} ({parts[0]})"
        try:
            if len(parts) < 3:
                raise _Fault("has fewer than three fields")
            try:
                y, x = (json.loads(part, parse_constant=_refuse_constant) for part in parts[1:])
            except ValueError:
                raise _Fault("holds something that is not a list of numbers") from None
            y, x = _numbers(y, "keypoints_y"), _numbers(x, "keypoints_x")
            if len(x) != len(y):
                raise _Fault(f"has {len(y)} y values and {len(x)} x values")
            if skeleton is None:
                skeleton = _skeleton_of(len(x))
            elif len(x) != len(skeleton):
                raise _Fault(f"has {len(x)} joints, the rows before it {len(skeleton)}")
            poses.append(_pose_from_xy(x, y))
        except _Fault as fault:
            raise UserError(path, f"{row} {fault}", _MEND_CSV) from None
        names.append(parts[0])
    if skeleton is None:
        raise UserError(path, "has no rows", _MEND_CSV)
    return NamedPoses(poses=np.stack(poses), names=tuple(names), skeleton=skeleton)


def _read_json(path: str | os.PathLike[str], text: str) -> NamedPoses:
    """Our own JSON, OpenPose's or COCO's, told apart by their keys."""
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise _Fault(f"is not valid JSON (line {error.lineno}: {error.msg})") from None
    except (ValueError, RecursionError):
        raise _Fault("is not valid JSON") from None
    stem = os.path.splitext(os.path.basename(os.fspath(path)))[0].removesuffix("_keypoints")
    if isinstance(content, dict) and "joints" in content:
        return _read_own(content, stem)
    if isinstance(content, dict) and "people" in content:
        return _read_openpose(content, stem)
    if isinstance(content, dict) and "keypoints" in content:
        return _read_coco({"annotations": [content]}, stem)
    if isinstance(content, list):
        if len(content) == 1 and isinstance(content[0], dict) and "people" in content[0]:
            return _read_openpose(content[0], stem)
        return _read_coco({"annotations": content}, stem)
    if isinstance(content, dict) and "annotations" in content:
        return _read_coco(content, stem)
    raise _Fault("has none of the keys joints, people (OpenPose), annotations or keypoints (COCO)")


def _read_own(content: dict, stem: str) -> NamedPoses:
    skeleton = SKELETONS.get(str(content.get("skeleton")))
    if skeleton is None:
        raise _Fault(f"names the skeleton {str(content.get('skeleton'))[:40]!r}; known are "
                     f"{', '.join(SKELETONS)}")
    size = None if content.get("size") is None else _size(content["size"])
    joints = content["joints"]
    if not isinstance(joints, dict):
        raise _Fault('has no {"joint": [x, y]} under joints')
    pose = np.zeros((len(skeleton), 3), np.float32)
    for joint, values in joints.items():
        if joint not in skeleton.joints:
            raise _Fault(f"has the joint {joint!r}, which {skeleton.name} lacks")
        if len(_numbers(values, joint)) not in (2, 3):
            raise _Fault(f"has {len(values)} numbers for {joint}, not x, y or x, y, visibility")
        pose[skeleton.index(joint)] = [*values, 1.0][:3]
    return NamedPoses(poses=_known(pose)[None], names=(str(content.get("name", stem)),),
                      skeleton=skeleton, size=size)


def _size(values: object) -> tuple[int, int]:
    if len(_numbers(values, "the size")) != 2 or min(values) < 1:
        raise _Fault(f"has the size {values}, not [height, width]")
    return int(values[0]), int(values[1])


def _known(pose: np.ndarray) -> np.ndarray:
    """Zeroes the coordinates of joints whose visibility is 0; refuses what is not finite."""
    if not np.isfinite(pose).all():
        raise _Fault("has a number that is not finite")
    if ((pose[:, 2] < 0) | (pose[:, 2] > 1)).any():
        raise _Fault("has a visibility outside of 0 to 1")
    return np.where(pose[:, 2:] > 0, pose, 0).astype(np.float32)


def _triples(values: object, what: str) -> np.ndarray:
    values = _numbers(values, what)
    if len(values) % 3:
        raise _Fault(f"has {len(values)} numbers in {what}, not three a joint")
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
        raise _Fault("has no people")
    poses = []
    for person in content["people"]:
        if not isinstance(person, dict):
            raise _Fault("has a person without pose_keypoints_2d")
        pose = _triples(person.get("pose_keypoints_2d"), "pose_keypoints_2d")
        if len(pose) == 25:
            pose = np.delete(pose[:19], 8, axis=0)
        if len(pose) != len(OPENPOSE18):
            raise _Fault(f"has {len(pose)} joints where OpenPose has 18 or 25")
        # Its confidences may pass 1 by a little.
        pose[:, 2] = np.minimum(pose[:, 2], 1)
        if (pose[:, 2] > 0).sum() > 1 and pose[:, :2].max() <= 1:
            if size is None:
                raise _Fault("has coordinates from 0 to 1 and no canvas_height and canvas_width")
            pose[:, :2] *= size[::-1]
        poses.append(_known(pose))
    names = (stem,) if len(poses) == 1 else tuple(f"{stem}:{i}" for i in range(len(poses)))
    return NamedPoses(poses=np.stack(poses), names=names, skeleton=OPENPOSE18, size=size)


def _read_coco(content: dict, stem: str) -> NamedPoses:
    """COCO keypoints; its visibility 1 (hidden, but marked) counts as known, as 2 does."""
    rows, images = content["annotations"], {}
    if not isinstance(rows, list) or not rows:
        raise _Fault("has no annotations")
    for image in content.get("images") or ():
        if isinstance(image, dict) and "id" in image:
            images[str(image["id"])] = image
    poses, names, sizes = [], [], set()
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or "keypoints" not in row:
            raise _Fault(f"has no keypoints in annotation {number}")
        pose = _triples(row["keypoints"], f"annotation {number}")
        if len(pose) != len(COCO17):
            raise _Fault(f"has {len(pose)} joints in annotation {number} where COCO has 17")
        pose[:, 2] = pose[:, 2] > 0
        poses.append(_known(pose))
        image = images.get(str(row.get("image_id")), {})
        name = image.get("file_name") or row.get("image_id", row.get("id"))
        names.append(str(name) if name is not None else
                     stem if len(rows) == 1 else f"{stem}:{number}")
        sizes.add(_size([image["height"], image.get("width")]) if "height" in image else None)
    return NamedPoses(poses=np.stack(poses), names=tuple(names), skeleton=COCO17,
                      size=sizes.pop() if len(sizes) == 1 else None)


def _read_pidm_text(path: str | os.PathLike[str], text: str,
                    size: tuple[int, int]) -> NamedPoses:
    """18 lines `x y` in PIDM's frame (Bhunia et al., CVPR 2023), -1 -1 for missing.

    The frame is a square of 256 whose columns 40 to 216 show the picture, so a point lies at
    X = (x - 40) W / 176, Y = y H / 256 of a picture of H x W. As NTED and PIDM do, this leaves out
    the half pixel between the two ways of counting.
    """
    xy = []
    lines = [line for line in text.splitlines() if line.strip()]
    for number, line in enumerate(lines, start=1):
        try:
            values = [float(word) for word in line.split()]
        except ValueError:
            raise _Fault(f"has text in line {number}: {line.strip()[:40]!r}") from None
        if len(values) != 2:
            raise _Fault(f"has {len(values)} numbers in line {number}, not x y")
        xy.append(values)
    if len(xy) != len(OPENPOSE18):
        raise _Fault(f"has {len(xy)} lines x y, not 18")
    pose = _pose_from_xy([x for x, _ in xy], [y for _, y in xy])
    offset, frame = np.array([40, 0]), np.array([176, 256])
    pose[:, :2] = np.where(pose[:, 2:] > 0, (pose[:, :2] - offset) * size[::-1] / frame, 0)
    stem = os.path.splitext(os.path.basename(os.fspath(path)))[0]
    return NamedPoses(poses=pose[None], names=(stem,), skeleton=OPENPOSE18, size=tuple(size))


def read_poses(path: str | os.PathLike[str], *,
               size: tuple[int, int] = (256, 176)) -> NamedPoses:
    """Reads every pose of a file, recognising its format from the content.

    Known are PATN's CSV, PIDM's text, OpenPose's JSON (18 or 25 joints), COCO's keypoint JSON and
    our own (`write_pose`).

    Args:
      path: the file.
      size: (height, width) of the picture, which only PIDM's text needs to become pixels.

    Raises:
      UserError: names the file and what in it cannot be used.
    """
    text = read_text(path)
    first = text.lstrip()[0]
    try:
        if first in "{[":
            return _read_json(path, text)
        if ":" in text:
            return read_csv_poses(path, text)
        return _read_pidm_text(path, text, size)
    except _Fault as fault:
        raise UserError(path, str(fault), "give a pose as CSV, OpenPose or COCO JSON, "
                        "18 lines x y, or {\"skeleton\": \"openpose18\", \"joints\": "
                        "{\"nose\": [x, y], ...}}") from None


def read_pose(path: str | os.PathLike[str], *, row: str | None = None,
              size: tuple[int, int] = (256, 176)) -> NamedPose:
    """Reads one pose.

    Args:
      path: a file that `read_poses` knows.
      row: name of the pose; may be left out where the file has only one.
      size: see `read_poses`.

    Raises:
      UserError: also where the row is needed and not given, is not there or is there twice, and
        where every joint of the pose is missing.
    """
    table = read_poses(path, size=size)
    some = ", ".join(table.names[:3]) + (", ..." if len(table.names) > 3 else "")
    found = [i for i, name in enumerate(table.names) if row is None or name == row]
    if row is not None and len(found) != 1:
        count = "no pose" if not found else f"{len(found)} poses"
        raise UserError(path, f"has {count} named {row}", f"it has {some}")
    if len(found) > 1:
        raise UserError(path, f"has {len(found)} poses", f"name one of them: {some}")
    pose, name = table.poses[found[0]], table.names[found[0]]
    if not (pose[:, 2] > 0).any():
        raise UserError(path, f"misses every joint of {name}", "give a pose with known joints")
    return NamedPose(pose=pose, name=name, skeleton=table.skeleton, size=table.size)


def write_pose(path: str | os.PathLike[str], pose: NamedPose) -> None:
    """Writes our own JSON; joints of visibility 0 are left out, 1 is not spelled out."""
    joints = {}
    for joint, (x, y, visibility) in zip(pose.skeleton.joints, pose.pose.tolist(), strict=True):
        if visibility > 0:
            joints[joint] = [round(x, 3), round(y, 3)] + ([visibility] if visibility < 1 else [])
    content = {"name": pose.name, "skeleton": pose.skeleton.name,
               **({"size": list(pose.size)} if pose.size else {}), "joints": joints}
    text = json.dumps(content, indent=1, allow_nan=False)
    write_whole(path, lambda file: file.write(text.encode()))


def convert(pose: Float[np.ndarray, "*batch joints 3"], from_skeleton: Skeleton,
            to_skeleton: Skeleton) -> tuple[Float[np.ndarray, "*batch joints2 3"], list[str]]:
    """Carries poses to another skeleton by the names of the joints.

    The neck is the middle of the shoulders where the source has none; joints such as head_top,
    which nothing tells, are missing.

    Returns:
      The poses and the joints of `to_skeleton` that could not be filled for lack of a source.
    """
    pose = np.asarray(pose, np.float32)
    out = np.zeros((*pose.shape[:-2], len(to_skeleton), 3), np.float32)
    lost = []
    for number, joint in enumerate(to_skeleton.joints):
        if joint in from_skeleton.joints:
            out[..., number, :] = pose[..., from_skeleton.index(joint), :]
        elif joint == "neck":
            right, left = (pose[..., from_skeleton.index(j), :] for j in from_skeleton.torso[:2])
            seen = np.minimum(right[..., 2:], left[..., 2:])
            out[..., number, :2] = np.where(seen > 0, (right + left)[..., :2] / 2, 0)
            out[..., number, 2:] = seen
        else:
            lost.append(joint)
    return out, lost
