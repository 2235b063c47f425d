"""A file of `repose bench`: how it is read, and how two are compared."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.common.json_text import parse_json

FORMAT = 1


def read_result(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A file of `repose bench`.

    Raises:
      UserError: it is none.
    """
    hint = "give a file that repose bench wrote"
    try:
        text = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", hint) from None
    content = parse_json(text, path, "is no JSON", hint)
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(
            content.get("times_s"), dict):
        raise UserError(path, "is no result of this version's repose bench", hint)
    for name, times in content["times_s"].items():
        if not isinstance(times, list) or not times or not all(
                isinstance(t, (int, float)) and 0 <= t < float("inf") for t in times):
            raise UserError(path, f"has no times of {name:.60}", hint)
    return content


@dataclasses.dataclass(frozen=True)
class Change:
    """One measure of two files.

    Attributes:
      name: of the measure.
      before, after: medians, seconds.
      verdict: "slower" or "faster" where the quartiles of the two do not overlap, else "same".
    """

    name: str
    before: float
    after: float
    verdict: str


def compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """What both files measured, in the new one's order."""
    changes = []
    for name, times in new["times_s"].items():
        if name not in old["times_s"]:
            continue
        (low, before, high), (below, after, above) = (
            np.quantile(each, (0.25, 0.5, 0.75)) for each in (old["times_s"][name], times))
        verdict = "slower" if below > high else "faster" if above < low else "same"
        changes.append(Change(name, float(before), float(after), verdict))
    return changes


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What makes two files hard to compare, one sentence each."""
    names = {"preset": "preset", "amount": "amount", "machine": "machine"}

    def told(result, name):
        value = result.get(name)
        return {k: v for k, v in value.items() if k != "load"} if isinstance(value, dict) else value

    return [f"the {words} differs: {told(old, name)} before, {told(new, name)} now"
            for name, words in names.items() if told(old, name) != told(new, name)]
