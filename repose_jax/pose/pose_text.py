"""What pose files that are no JSON say: PATN's CSV and PIDM's text."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence

import numpy as np

from repose_jax.pose.raw_poses import (
    LARGEST, Fault, RawFile, RawPerson, numbers, refuse_constant)
from repose_jax.pose.skeleton import COCO17, MARKET14, OPENPOSE18, Skeleton

CSV_HEADER = "name:keypoints_y:keypoints_x"
MEND_CSV = f"each line is {CSV_HEADER}, the last two being JSON lists of pixels, -1 for missing"
_BY_JOINT_COUNT = {len(s): s for s in (OPENPOSE18, COCO17, MARKET14)}


def _from_xy(x: Sequence[float], y: Sequence[float]) -> np.ndarray:
    """[J, 3] from coordinates of which -1 stands for missing."""
    xy = np.stack([x, y], axis=-1).astype(np.float64)
    if not (np.abs(xy) <= LARGEST).all():
        raise Fault("has a number that is not finite or of impossible size")
    return np.concatenate([xy, (xy != -1).all(-1, keepdims=True)], axis=-1)


def _skeleton_of(joints: int) -> Skeleton:
    if joints not in _BY_JOINT_COUNT:
        known = ", ".join(f"{n} ({s.name})" for n, s in sorted(_BY_JOINT_COUNT.items()))
        raise Fault(f"has {joints} joints where a skeleton has {known}")
    return _BY_JOINT_COUNT[joints]


def read_csv(text: str) -> RawFile:
    """Lines `name:keypoints_y:keypoints_x` (Zhu et al., PATN, CVPR 2019), -1 meaning missing.

    The skeleton follows from the number of joints of the first row: 18, 17 or 14.
    """
    people, skeleton = [], None
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or (number == 1 and line.strip() == CSV_HEADER):
            continue
        parts = line.rsplit(":", 2)
        row = f"line {number}" if len(parts) < 3 else f"line {number} ({parts[0]})"
        person = RawPerson(name=parts[0], picture=parts[0])
        people.append(person)
        try:
            if len(parts) < 3:
                raise Fault("has fewer than three fields")
            try:
                y, x = (json.loads(part, parse_constant=refuse_constant) for part in parts[1:])
            except (ValueError, RecursionError):
                raise Fault("holds something that is not a list of numbers") from None
            y, x = numbers(y, "keypoints_y"), numbers(x, "keypoints_x")
            if len(x) != len(y):
                raise Fault(f"has {len(y)} y values and {len(x)} x values")
            if skeleton is None:
                skeleton = _skeleton_of(len(x))
            elif len(x) != len(skeleton):
                raise Fault(f"has {len(x)} joints, the rows before it {len(skeleton)}")
            person.skeleton, person.values = skeleton, _from_xy(x, y)
        except Fault as fault:
            person.fault = f"{row} {fault}"
    return RawFile(format="csv", people=people)


def is_pose_text(text: str) -> bool:
    """Whether a text has a line like those of the CSV, or mostly lines that begin with a number.

    Anything else, such as a caption, is no pose file; a damaged pose file still is one.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any(line == CSV_HEADER or re.search(r":\s*\[.*:\s*\[", line) for line in lines):
        return True
    numeric = sum(bool(re.match(r"[-+]?[.\d]+(e[-+]?\d+)?(\s|$)", line, re.I)) for line in lines)
    return numeric > 0 and 2 * numeric >= len(lines)


def read_pidm_text(path: str | os.PathLike[str], text: str) -> RawFile:
    """18 lines `x y` in PIDM's frame (Bhunia et al., CVPR 2023), -1 -1 for missing.

    Raises:
      Fault: it is not 18 lines of two numbers.
    """
    xy, lines = [], [line for line in text.splitlines() if line.strip()]
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
    stem = os.path.splitext(os.path.basename(os.fspath(path)))[0]
    return RawFile(format="text", unit="frame", people=[RawPerson(
        name=stem, picture=stem, skeleton=OPENPOSE18,
        values=_from_xy([x for x, _ in xy], [y for _, y in xy]))])
