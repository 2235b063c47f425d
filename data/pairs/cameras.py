"""Which camera took a picture, as file names tell it."""

from __future__ import annotations

import re
from collections.abc import Sequence


# MSMT17 (Wei et al., CVPR 2018) writes no letter: person, number, camera, day and time of day.
_MSMT17 = re.compile(r"\d+_\d+_(\d+)_\d{4}(?:morning|noon|afternoon)_")


def camera_of(name: str) -> int:
    """The camera that a file name tells, 12 in 0002_c12s1_... and 14 in MSMT17's
    0001_001_14_0303noon_...; 0 where it tells none."""
    found = re.search(r"_c(\d+)(?=s\d|[_.]|$)", name) or _MSMT17.match(name)
    return int(found[1]) if found else 0


def cameras_of(names: Sequence[str]) -> list[int] | None:
    """The camera of each picture; None where not every name tells it."""
    found = [camera_of(name) for name in names]
    return found if all(found) else None
