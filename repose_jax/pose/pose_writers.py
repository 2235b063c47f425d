"""Writes a pose in each format of the field."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Literal

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.common.files import write_content
from repose_jax.pose.convert import convert
from repose_jax.pose.named_poses import NamedPose
from repose_jax.pose.pose_text import CSV_HEADER
from repose_jax.pose.skeleton import COCO17, OPENPOSE18, SKELETONS, Skeleton

Format = Literal["ours", "openpose", "coco", "csv", "text"]


def _ours(pose: NamedPose) -> str:
    joints = {}
    for joint, (x, y, visibility) in zip(pose.skeleton.joints, pose.pose.tolist(), strict=True):
        if visibility > 0:
            joints[joint] = [round(x, 3), round(y, 3)] + ([visibility] if visibility < 1 else [])
    return json.dumps({"name": pose.name, "skeleton": pose.skeleton.name, "unit": "pixels",
                       **({"size": list(pose.size)} if pose.size else {}), "joints": joints},
                      indent=1, allow_nan=False)


def _flat(pose: NamedPose, skeleton: Skeleton) -> list[float]:
    return np.round(_as(pose, skeleton), 3).astype(np.float64).round(3).ravel().tolist()


def _as(pose: NamedPose, skeleton: Skeleton) -> np.ndarray:
    return convert(pose.pose, pose.skeleton, skeleton)[0]


def _openpose(pose: NamedPose) -> str:
    size = {} if pose.size is None else {"canvas_height": pose.size[0], "canvas_width": pose.size[1]}
    return json.dumps({"version": 1.3, "unit": "pixels", **size, "people": [
        {"person_id": [-1], "pose_keypoints_2d": _flat(pose, OPENPOSE18)}]}, allow_nan=False)


def _coco(pose: NamedPose) -> str:
    size = {} if pose.size is None else {"height": pose.size[0], "width": pose.size[1]}
    keypoints = _flat(pose, COCO17)
    return json.dumps({
        "unit": "pixels", "images": [{"id": 1, "file_name": pose.name, **size}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.joints)}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": keypoints,
                         "num_keypoints": sum(v > 0 for v in keypoints[2::3])}]}, allow_nan=False)


def _csv(pose: NamedPose) -> str:
    skeleton = pose.skeleton if pose.skeleton.name in SKELETONS else OPENPOSE18
    values = _as(pose, skeleton)
    xy = np.where(values[:, 2:] > 0, values[:, :2], -1).astype(np.float64).round(3)
    y, x = (json.dumps(xy[:, axis].tolist()) for axis in (1, 0))
    return f"{CSV_HEADER}\n{pose.name}:{y}:{x}\n"


def _text(pose: NamedPose) -> str:
    """PIDM's frame, in which the picture takes 256 rows and the columns 40 to 216."""
    if pose.size is None:
        raise UserError(pose.where, "does not tell the size of its picture, which the "
                        "format text needs", "give --size HEIGHT WIDTH")
    values = _as(pose, OPENPOSE18)
    xy = values[:, :2] * [176, 256] / [pose.size[1], pose.size[0]] + [40, 0]
    xy = np.where(values[:, 2:] > 0, xy, -1)
    return "".join(f"{x:.3f} {y:.3f}\n" if (x, y) != (-1, -1) else "-1 -1\n" for x, y in xy.tolist())


_WRITERS: dict[str, Callable[[NamedPose], str]] = {
    "ours": _ours, "openpose": _openpose, "coco": _coco, "csv": _csv, "text": _text}


def pose_as_text(pose: NamedPose, format: Format = "ours") -> str:
    """The content of a pose file; see `write_pose`."""
    return _WRITERS[format](pose)


def write_pose(path: str | os.PathLike[str], pose: NamedPose, format: Format = "ours") -> None:
    """Writes a pose.

    Args:
      path: the file.
      pose: what to write; joints of visibility 0 are missing.
      format: "ours" keeps every joint of any skeleton; "openpose" and "text" have 18 joints, "coco"
        17, "csv" those of one of `SKELETONS`.

    Raises:
      UserError: the file cannot be written, or the format needs the size of the picture.
    """
    write_content(path, pose_as_text(pose, format))
