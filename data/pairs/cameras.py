"""Which camera took a picture, as file names tell it, and the pairs that one camera took."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.data.pairs.source import OrderedPairs, PairSource

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


def by_one_camera(source: PairSource) -> PairSource:
    """The same pictures, and of their pairs those that one camera took: in one light and place.

    Raises:
      UserError: the data do not tell their cameras, or no pair is left.
    """
    if source.cameras is None:
        raise UserError("data.one_camera", "needs pictures whose names tell their camera",
                        "leave it out, or name them like 0002_c1s1_000451_03.jpg")
    if source.given_pairs is None:
        pairs = OrderedPairs([f"{person} {camera}" for person, camera in
                              zip(source.persons, source.cameras.tolist(), strict=True)])
    else:
        pairs = np.asarray(source.given_pairs)
        pairs = pairs[source.cameras[pairs[:, 0]] == source.cameras[pairs[:, 1]]]
    if not len(pairs):
        raise UserError("data.one_camera", "leaves no pair: no camera took two pictures of anybody",
                        "leave it out")
    return source.with_pairs(pairs)
