"""COCO's results of keypoints: the people that somebody's pose detector found in pictures.

    [{"image_id": 7, "category_id": 1, "keypoints": [x, y, v, ...], "score": 0.9}, ...]
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.pose.detections import Detections
from repose_jax.pose.formats import read_text
from repose_jax.pose.skeleton import COCO17

_MEND = "give COCO's results of keypoints: a list of image_id, category_id, keypoints, score"
_PERSON = 1


def read_detections(
    path: str | os.PathLike[str], numbers: Sequence[int | str]
) -> list[Detections]:
    """The people found in each picture, in pixels of the picture that was looked at.

    Args:
      path: of the JSON; a person's 17 joints are COCO's, flat or as triples.
      numbers: image_id of each picture; 7 and "7" are the same.

    Returns:
      One a picture; of no person where the file has none.

    Raises:
      UserError: the file cannot be used, or has a person of a picture that is not asked for.
    """
    path = pathlib.Path(path)
    try:
        rows = json.loads(read_text(path))
    except (ValueError, RecursionError):
        raise UserError(path, "is not valid JSON", _MEND) from None
    if not isinstance(rows, list):
        raise UserError(path, "is not a list", _MEND)
    found: dict[str, list[tuple[np.ndarray, float]]] = {str(number): [] for number in numbers}
    strangers = []
    for place, row in enumerate(rows):
        if not isinstance(row, dict) or not {"image_id", "category_id", "keypoints",
                                             "score"} <= row.keys():
            raise UserError(path, f"entry {place} lacks image_id, category_id, keypoints or score",
                            _MEND)
        if row["category_id"] != _PERSON:
            raise UserError(path, f"entry {place} is of category {row['category_id']}, not 1, a "
                            "person", "give people only")
        if str(row["image_id"]) not in found:
            strangers.append(row["image_id"])
            continue
        found[str(row["image_id"])].append(_person(path, place, row))
    if strangers:
        raise UserError(path, f"has {len(strangers)} people of pictures that the annotations lack, "
                        f"the first of image_id {strangers[0]}", "give those of the annotated "
                        "pictures")
    return [Detections(poses=np.array([pose for pose, _ in people]).reshape(-1, len(COCO17), 3),
                       scores=np.array([score for _, score in people], np.float64))
            for people in found.values()]


def _person(path: pathlib.Path, place: int, row: dict) -> tuple[np.ndarray, float]:
    """Pose and score of an entry."""
    try:
        pose = np.asarray(row["keypoints"], np.float64).reshape(-1, 3)
        score = float(row["score"])
    except (TypeError, ValueError, OverflowError):
        pose, score = np.zeros((0, 3)), 0.0
    if len(pose) != len(COCO17) or not np.isfinite(pose).all() or not np.isfinite(score):
        raise UserError(path, f"entry {place} has no {len(COCO17)} joints x, y, visibility and a "
                        "score, all finite", _MEND)
    return pose, score
