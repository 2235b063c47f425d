"""Poses with the names of their skeleton and picture, and the checks of what files hold."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from repose_jax.pose.skeleton import Skeleton

LARGEST = 1e6  # no picture has so many pixels a side


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NamedPoses:
    """The poses of one file.

    Attributes:
      poses: [N, J, 3], x and y in pixels and a visibility in [0, 1].
      names: a name for each row.
      skeleton: says which joint is which.
      size: (height, width) of the picture the poses belong to; None where the file does not tell.
      pictures: for each row the picture it is in, which may show several people; empty where every
        row is a picture of its own.
    """

    poses: Float[np.ndarray, "n joints 3"]
    names: tuple[str, ...]
    skeleton: Skeleton
    size: tuple[int, int] | None = None
    pictures: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NamedPose:
    """One pose: [J, 3], its name and skeleton, and its picture's (height, width) if known.

    `path` is the file it is from, which notes and errors name; `notes` are sentences about how it
    was come by that its user should know.
    """

    pose: Float[np.ndarray, "joints 3"]
    name: str
    skeleton: Skeleton
    size: tuple[int, int] | None = None
    path: str | None = None
    notes: tuple[str, ...] = ()


class Fault(Exception):
    """What is wrong with one row; the caller knows the file and the row's name."""


def refuse_constant(name: str):
    """For `json.loads`, which would take NaN and Infinity for numbers."""
    raise Fault(f"has {name} for a number")


def numbers(values: object, what: str) -> list[float]:
    """The values, if they are a list of finite numbers; Fault otherwise."""
    if not isinstance(values, list):
        raise Fault(f"has no list of numbers for {what}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Fault(f"has {str(value)[:40]!r} among the numbers of {what}")
        if not abs(value) <= LARGEST:
            raise Fault(f"has a number of impossible size in {what}")
    return values
