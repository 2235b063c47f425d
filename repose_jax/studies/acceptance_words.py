"""The words of an acceptance check, in English and Japanese, and the numbers in them."""

from __future__ import annotations

import functools
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from repose_jax.studies.acceptance_limits import Thresholds
from repose_jax.studies.acceptance_results import Result

Language = Literal["en", "ja"]


@functools.cache
def table() -> Mapping[str, Mapping[str, str]]:
    """Every text by its key and language."""
    return json.loads(pathlib.Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


def word(language: Language, key: str, **values: Any) -> str:
    """A text with values in its holes."""
    return table()[key][language].format(**values)


def shown(name: str, value: float) -> str:
    """The number of a check as people read it; "" for one that could not be judged."""
    if not math.isfinite(value):
        return ""
    return {"pose_error": f"{100 * value:.1f}", "identity": f"{value:.2f}", "color": f"{value:.0f}",
            "detail": f"{100 * value:.0f}"}[name]


def bounds(name: str, limits: Thresholds) -> dict[str, str]:
    """The numbers of a check's limit, by the holes that they fill."""
    return {"pose_error": {"most": f"{100 * limits.pose_error:g}"},
            "identity": {"least": f"{limits.identity:g}"}, "color": {"most": f"{limits.color:g}"},
            "detail": {"least": f"{100 * limits.detail:g}",
                       "most": f"{100 * limits.detail_most:g}"}}[name]


def state(result: Result, name: str) -> Literal["good", "bad", "none"]:
    """What became of a check."""
    if not math.isfinite(result.values[name]):
        return "none"
    return "bad" if name in result.failed else "good"


def counted(results: Sequence[Result], name: str) -> dict[str, int]:
    """How many results failed a check, could be judged by it, and could not."""
    states = [state(result, name) for result in results]
    return {"failed": states.count("bad"), "judged": len(states) - states.count("none"),
            "missing": states.count("none")}
