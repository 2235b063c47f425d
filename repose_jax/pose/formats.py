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
from repose_jax.pose.skeleton import COCO17, MARKET14, OPENPOSE18, Skeleton

_CSV_HEADER = "name:keypoints_y:keypoints_x"
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
            raise _Fault(f"has {value!r} among the numbers of {what}")
    return values


def _pose_from_xy(x: Sequence[float], y: Sequence[float]) -> np.ndarray:
    """[J, 3] from coordinates in which any negative -1 stands for missing."""
    xy = np.stack([x, y], axis=-1).astype(np.float32)
    if not np.isfinite(xy).all():
        raise _Fault("has a number that is not finite")
    seen = ((xy != -1).all(-1, keepdims=True)).astype(np.float32)
    return np.concatenate([xy * seen, seen], axis=-1)


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
            except json.JSONDecodeError:
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
