"""Which of several people in a picture is meant."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float

#: What shows fewer joints is taken for nobody where somebody else is there.
MIN_JOINTS = 4
#: Joints of a lower confidence are missing.
MIN_CONFIDENCE = 0.3
# People of so much of the best one's confidence are seen alike.
_ALIKE = 0.75

#: x0, y0, x1, y1 in pixels of a picture: the left, top, right and bottom edge.
Box = tuple[float, float, float, float]
#: The number of a person, from 0, "largest" for the one who is seen best and of those the largest, or
#: the one that is in a box.
Person = int | Literal["largest"] | Box


def boxes(poses: Float[np.ndarray, "people joints 3"]) -> Float[np.ndarray, "people 4"]:
    """The box around the known joints of each pose, empty at 0 where none is known."""
    known = poses[..., 2:] > 0
    low = np.where(known, poses[..., :2], np.inf).min(axis=1)
    high = np.where(known, poses[..., :2], -np.inf).max(axis=1)
    found = np.concatenate([low, high], axis=1).astype(np.float64)
    return np.where(np.isfinite(found), found, 0)


def box_areas(poses: Float[np.ndarray, "people joints 3"]) -> Float[np.ndarray, "people"]:
    """Area of the box around the known joints of each pose; 0 for fewer than two joints."""
    return _areas(boxes(poses))


def overlaps(
    poses: Float[np.ndarray, "people joints 3"], box: Box
) -> Float[np.ndarray, "people"]:
    """What the boxes around the joints share with another box, over what both cover; 0 to 1."""
    each, given = boxes(poses), np.array(box, np.float64)
    shared = _areas(np.concatenate([np.maximum(each[:, :2], given[:2]),
                                    np.minimum(each[:, 2:], given[2:])], axis=1))
    return shared / (_areas(each) + _areas(given[None]) - shared)


def _areas(each: np.ndarray) -> np.ndarray:
    return np.prod(np.maximum(each[:, 2:] - each[:, :2], 0), axis=1)


def _whole(poses: np.ndarray) -> np.ndarray:
    """Which people count: those of enough joints, or all where there are none such."""
    enough = (poses[..., 2] > 0).sum(1) >= MIN_JOINTS
    return enough if enough.any() else np.ones_like(enough)


def check_box(box: Box) -> None:
    """Refuses, with a ValueError, a box that holds nothing or has a number that is not finite."""
    if not np.isfinite(box).all() or box[0] >= box[2] or box[1] >= box[3]:
        raise ValueError(f"cannot have the box {said(box)}: X0 Y0 X1 Y1 are its left, top, right "
                         "and bottom")


def clipped(box: Box, size: tuple[int, int]) -> Box:
    """The part of a box that lies in a picture of a size (height, width).

    Raises:
      ValueError: see `check_box`; also where there is no such part.
    """
    check_box(box)
    inside = max(box[0], 0), max(box[1], 0), min(box[2], size[1]), min(box[3], size[0])
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise ValueError(f"of {size[0]}x{size[1]} has nothing in the box {said(box)}")
    return inside


def said(box: Box) -> str:
    """A box as its user types it."""
    return " ".join(f"{edge:g}" for edge in box)


def choose_person(
    poses: Float[np.ndarray, "people joints 3"], person: Person
) -> tuple[int, str | None]:
    """Chooses one of the people of a picture.

    Args:
      poses: of all of them, in the order of their file.
      person: the number of one, from 0; "largest" for the one in the largest box among those who
        have about the largest sum of confidences, people of fewer than `MIN_JOINTS` joints counting
        only where there are no others; or a box: the one whose own overlaps it most.

    Returns:
      Its number, and where there are several a sentence that says so.

    Raises:
      ValueError: there is no person of that number, or none in that box.
    """
    count = len(poses)
    if isinstance(person, (tuple, list)):
        check_box(person)
        shared = overlaps(poses, person)
        if (shared * _whole(poses)).any():
            shared = shared * _whole(poses)
        chosen = int(np.argmax(shared))
        if not shared[chosen] > 0:
            raise ValueError(f"has nobody in the box {said(person)}")
        why = f", whose box overlaps the given one most ({shared[chosen]:.2f} of both)"
    elif person == "largest":
        sure = poses[..., 2].sum(1) * _whole(poses)
        chosen = int(np.argmax((sure >= _ALIKE * sure.max()) * (1 + box_areas(poses))))
        why = ", the one seen best; another can be chosen by number or by box"
    elif 0 <= person < count:
        chosen, why = person, ""
    else:
        raise ValueError(f"has no person {person}: {count} in all, counted from 0")
    return chosen, None if count == 1 else (
        f"shows {count} people; took number {chosen} (counted from 0){why}")
