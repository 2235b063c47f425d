"""Which camera took a picture, as file names tell it."""

from __future__ import annotations

import re
from collections.abc import Sequence


def camera_of(name: str) -> int:
    """The camera that a file name tells, 0002_c12s1_...: 12; 0 where it tells none."""
    found = re.search(r"_c(\d+)(?=s\d|[_.]|$)", name)
    return int(found[1]) if found else 0


def cameras_of(names: Sequence[str]) -> list[int] | None:
    """The camera of each picture; None where not every name tells it."""
    found = [camera_of(name) for name in names]
    return found if all(found) else None
