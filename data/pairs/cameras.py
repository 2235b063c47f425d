"""Which camera took a picture, as file names tell it."""

from __future__ import annotations

from collections.abc import Sequence


def camera_of(name: str) -> int:
    """The camera that a file name tells, 0002_c1s1_...: 1; 0 where it tells none."""
    parts = name.split("_")
    tells = len(parts) > 1 and parts[1][:1] == "c" and parts[1][1:2].isdigit()
    return int(parts[1][1]) if tells else 0


def cameras_of(names: Sequence[str]) -> list[int] | None:
    """The camera of each picture; None where not every name tells it."""
    found = [camera_of(name) for name in names]
    return found if all(found) else None
