"""Which of several people in a picture is meant."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float

Person = int | Literal["largest"]


def box_areas(poses: Float[np.ndarray, "people joints 3"]) -> Float[np.ndarray, "people"]:
    """Area of the box around the known joints of each pose; 0 for fewer than two joints."""
    known = poses[..., 2:] > 0
    low = np.where(known, poses[..., :2], np.inf).min(axis=1)
    high = np.where(known, poses[..., :2], -np.inf).max(axis=1)
    return np.prod(np.where(np.isfinite(low), np.maximum(high - low, 0), 0), axis=-1).astype(
        np.float64)


def choose_person(
    poses: Float[np.ndarray, "people joints 3"], person: Person
) -> tuple[int, str | None]:
    """Chooses one of the people of a picture.

    Args:
      poses: of all of them, in the order of their file.
      person: the number of one, from 0, or "largest" for the one in the largest box.

    Returns:
      Its number, and where there are several a sentence that says so.

    Raises:
      ValueError: there is no person of that number.
    """
    count = len(poses)
    if person == "largest":
        chosen = int(np.argmax(box_areas(poses)))
        return chosen, None if count == 1 else (
            f"shows {count} people; took number {chosen} (counted from 0), the largest; "
            "--pose-person N takes another")
    if not 0 <= person < count:
        raise ValueError(f"has no person {person}: {count} in all, counted from 0")
    return person, None if count == 1 else f"shows {count} people; took number {person}"
