"""The limits of an acceptance check: when a result passes, and when the whole does."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from typing import Annotated

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.common.fields import from_dict
from repose_jax.common.ranges import Fraction, Range, Weight, check_fields


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thresholds:
    """When a result passes.

    Attributes:
      pose_error: at most, mean distance of the joints, in picture heights.
      identity: at least, cosine of the person's features in photo and result, from -1 to 1.
      color: at most, difference of the torso's mean colour as people see it (Delta E*ab).
      detail: at least, the torso's detail in the result over that in the photo.
      detail_most: at most; above it there is noise that the garment does not have.
      share: at least, of the results that must pass for the whole to pass, from 0 to 1.
    """

    pose_error: Weight = 0.12
    identity: Annotated[float, Range(-1, 1)] = 0.3
    color: Weight = 40.0
    detail: Weight = 0.3
    detail_most: Weight = 4.5
    share: Fraction = 0.7

    def __post_init__(self):
        check_fields(self)
        if self.detail > self.detail_most:
            raise UserError("detail", f"is {self.detail}, detail_most {self.detail_most}: nothing "
                            "could pass", "give the lower one first")


_MOST_BYTES = 16_000  # a key of many dots takes tomllib time of the square of its length
CHECKS = ("pose_error", "identity", "color", "detail")


def read_thresholds(path: str | os.PathLike[str]) -> Thresholds:
    """Thresholds from a TOML file of their names; what it lacks has its default.

    Raises:
      UserError: the file cannot be read, is no TOML, or is larger than 16 kB; or it has an unknown
        name, a text for a number or one out of its range.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise UserError(path, f"is larger than {_MOST_BYTES} bytes", "give a file of limits alone")
        content = tomllib.loads(data.decode())
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "give a TOML file") from None
    except (ValueError, RecursionError) as error:  # also of encoding, or of numbers too long
        raise UserError(path, f"is no TOML ({str(error):.120})",
                        "write lines like pose_error = 0.08") from None
    known = [field.name for field in dataclasses.fields(Thresholds)]
    for name in content:
        if name not in known:
            raise UserError(path, f"has the unknown name {name:.80}", f"use {', '.join(known)}")
    try:
        return from_dict(Thresholds, content, os.fspath(path))
    except UserError as error:
        raise error if error.where.startswith(os.fspath(path)) else UserError(
            path, f"{error.where} {error.what}", error.mend) from None


def failures(values: dict[str, float], limits: Thresholds) -> tuple[str, ...]:
    """The checks that values fail; what could not be judged fails nothing."""
    bad = {"pose_error": values["pose_error"] > limits.pose_error,
           "identity": values["identity"] < limits.identity,
           "color": values["color"] > limits.color,
           "detail": not (limits.detail <= values["detail"] <= limits.detail_most)
           and np.isfinite(values["detail"])}
    return tuple(name for name in CHECKS if bad[name])
