"""Poses with the names of their skeleton and picture: what the reader of pose files gives."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from repose_jax.pose.skeleton import Skeleton


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class NamedPoses:
    """The poses of one file.

    Attributes:
      poses: [N, J, 3], x and y in pixels and a visibility in [0, 1], 0 where x and y are 0 as well
        because the joint is missing.
      names: a name for each row.
      skeleton: says which joint is which.
      sizes: for each row the (height, width) of the picture it belongs to, None where the file does
        not tell.
      pictures: for each row the picture it is in, which may show several people.
      format: what the file was read as.
      unit: in which its coordinates were: "pixels", "fractions" of the picture's sides, "percent" of
        them, or "frame" (of PIDM).
      notes: by row, what was left out or is doubtful.
      faults: by row, why it cannot be used; its pose is all missing.
    """

    poses: Float[np.ndarray, "n joints 3"]
    names: tuple[str, ...]
    skeleton: Skeleton
    sizes: tuple[tuple[int, int] | None, ...]
    pictures: tuple[str, ...]
    format: str
    unit: str = "pixels"
    notes: Mapping[int, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    faults: Mapping[int, str] = dataclasses.field(default_factory=dict)

    def rows(self, chosen: list[int]) -> NamedPoses:
        """Some of the rows, in the given order."""
        def of(values: Mapping[int, object]) -> dict:
            return {new: values[old] for new, old in enumerate(chosen) if old in values}
        return dataclasses.replace(
            self, poses=self.poses[chosen], names=tuple(self.names[i] for i in chosen),
            sizes=tuple(self.sizes[i] for i in chosen),
            pictures=tuple(self.pictures[i] for i in chosen),
            notes=of(self.notes), faults=of(self.faults))


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

    @property
    def where(self) -> str:
        """What notes and errors call it: its file, or else its name."""
        return self.path or self.name

    def digest(self) -> str:
        """SHA-256 of all that the pose says of joints."""
        told = repr((self.skeleton.name, self.size, self.pose.shape)).encode()
        return hashlib.sha256(
            told + np.ascontiguousarray(self.pose, np.float32).tobytes()).hexdigest()
