"""Reads the field's pose files into poses of named skeletons.

Every reader returns `NamedPoses` in pixels with the visibility of `skeleton.py` (0 = missing, and
then x = y = 0). A file that cannot be used raises `UserError` naming the file and the row.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from repose_jax.common.errors import UserError
from repose_jax.common.files import write_whole
from repose_jax.pose.named_poses import (
    LARGEST, Fault, NamedPose, NamedPoses, numbers, refuse_constant)
from repose_jax.pose.people import Person, choose_person
from repose_jax.pose.pose_json import read_json
from repose_jax.pose.skeleton import COCO17, MARKET14, OPENPOSE18, Skeleton

_CSV_HEADER = "name:keypoints_y:keypoints_x"
_BY_JOINT_COUNT = {len(s): s for s in (OPENPOSE18, COCO17, MARKET14)}
_MEND_CSV = f"each line is {_CSV_HEADER}, the last two being JSON lists of pixels, -1 for missing"


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


def _pose_from_xy(x: Sequence[float], y: Sequence[float]) -> np.ndarray:
    """[J, 3] from coordinates of which -1 stands for missing."""
    xy = np.stack([x, y], axis=-1).astype(np.float64)
    if not (np.abs(xy) <= LARGEST).all():
        raise Fault("has a number that is not finite or of impossible size")
    seen = (xy != -1).all(-1, keepdims=True)
    return np.concatenate([xy * seen, seen], axis=-1).astype(np.float32)


def _skeleton_of(joints: int) -> Skeleton:
    if joints not in _BY_JOINT_COUNT:
        known = ", ".join(f"{n} ({s.name})" for n, s in sorted(_BY_JOINT_COUNT.items()))
        raise Fault(f"has {joints} joints where a skeleton has {known}")
    return _BY_JOINT_COUNT[joints]


def read_csv_poses(path: str | os.PathLike[str], text: str | None = None, *,
                   broken: list[str] | None = None) -> NamedPoses:
    """Reads `name:keypoints_y:keypoints_x` (Zhu et al., PATN, CVPR 2019), -1 meaning missing.

    Args:
      path: the file, also the name that errors carry.
      text: its content where the caller has read it already.
      broken: gets a description of each row that cannot be read; without it such a row is refused.

    Returns:
      All rows that can be read; the skeleton follows from the number of joints (18, 17 or 14).
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
                raise Fault("has fewer than three fields")
            try:
                y, x = (json.loads(part, parse_constant=refuse_constant) for part in parts[1:])
            except ValueError:
                raise Fault("holds something that is not a list of numbers") from None
            y, x = numbers(y, "keypoints_y"), numbers(x, "keypoints_x")
            if len(x) != len(y):
                raise Fault(f"has {len(y)} y values and {len(x)} x values")
            if skeleton is None:
                skeleton = _skeleton_of(len(x))
            elif len(x) != len(skeleton):
                raise Fault(f"has {len(x)} joints, the rows before it {len(skeleton)}")
            poses.append(_pose_from_xy(x, y))
        except Fault as fault:
            if broken is None:
                raise UserError(path, f"{row} {fault}", _MEND_CSV) from None
            broken.append(f"{row} {fault}")
            continue
        names.append(parts[0])
    if skeleton is None:
        raise UserError(path, "has no rows", _MEND_CSV)
    return NamedPoses(poses=np.stack(poses), names=tuple(names), skeleton=skeleton)


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
            raise Fault(f"has text in line {number}: {line.strip()[:40]!r}") from None
        if len(values) != 2:
            raise Fault(f"has {len(values)} numbers in line {number}, not x y")
        xy.append(values)
    if len(xy) != len(OPENPOSE18):
        raise Fault(f"has {len(xy)} lines x y, not 18")
    pose = _pose_from_xy([x for x, _ in xy], [y for _, y in xy])
    offset, frame = np.array([40, 0]), np.array([176, 256])
    pose[:, :2] = np.where(pose[:, 2:] > 0, (pose[:, :2] - offset) * size[::-1] / frame, 0)
    stem = os.path.splitext(os.path.basename(os.fspath(path)))[0]
    return NamedPoses(poses=pose[None], names=(stem,), skeleton=OPENPOSE18, size=tuple(size))


def read_poses(path: str | os.PathLike[str], *,
               size: tuple[int, int] = (256, 176)) -> NamedPoses:
    """Reads every pose of a file, recognising its format from the content.

    Known are PATN's CSV, PIDM's text, OpenPose's JSON (18 or 25 joints), COCO's keypoint JSON (also
    with the joints of Halpe or COCO-WholeBody), MediaPipe's landmarks and our own (`write_pose`).

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
            return read_json(path, text)
        if ":" in text:
            return read_csv_poses(path, text)
        return _read_pidm_text(path, text, size)
    except Fault as fault:
        raise UserError(path, str(fault), "give a pose as CSV, OpenPose or COCO JSON, "
                        "18 lines x y, or {\"skeleton\": \"openpose18\", \"joints\": "
                        "{\"nose\": [x, y], ...}}") from None


def read_pose(path: str | os.PathLike[str], *, row: str | None = None,
              size: tuple[int, int] | None = None, person: Person = "largest") -> NamedPose:
    """Reads one pose.

    Args:
      path: a file that `read_poses` knows.
      row: name of the pose or of its picture; may be left out where the file has only one.
      size: (height, width) of the photo whose pose it is, in whose pixels a box is given; None
        where it is the pose of no photo at hand.
      person: of several people in the picture the number, from 0, the one in the largest box, or
        the one in a box.

    Raises:
      UserError: also where the row is needed and not given, is not there or is there twice, and
        where every joint of the pose is missing.
    """
    table = read_poses(path, size=size) if size else read_poses(path)
    some = ", ".join(table.names[:3]) + (", ..." if len(table.names) > 3 else "")
    pictures = table.pictures or table.names
    found = [i for i, name in enumerate(table.names) if row in (None, name, pictures[i])]
    together = bool(table.pictures) and len({pictures[i] for i in found}) == 1
    if row is not None and len(found) != 1 and not together:
        count = "no pose" if not found else f"{len(found)} poses"
        raise UserError(path, f"has {count} named {row}", f"it has {some}")
    if len(found) > 1 and not together:
        raise UserError(path, f"has {len(found)} poses", f"name one of them: {some}")
    people = table.poses[found]
    if size and table.size:
        # The file may be of a larger or smaller copy of the photo.
        ratio = np.array(size[::-1]) / table.size[::-1]
        people = np.concatenate([(people[..., :2] + 0.5) * ratio - 0.5, people[..., 2:]], axis=-1,
                                dtype=np.float32)
    try:
        chosen, note = choose_person(people, person)
    except ValueError as error:
        raise UserError(path, str(error), "choose another person") from None
    pose, name = table.poses[found[chosen]], table.names[found[chosen]]
    if not (pose[:, 2] > 0).any():
        raise UserError(path, f"misses every joint of {name}", "give a pose with known joints")
    return NamedPose(pose=pose, name=name, skeleton=table.skeleton, size=table.size,
                     path=os.fspath(path), notes=(f"{os.fspath(path)}: {note}",) if note else ())


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
