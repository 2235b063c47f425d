"""What came of an acceptance check: each result, and the verdict on all of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from repose_jax.studies.acceptance_limits import Thresholds


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """One picture in one pose.

    Attributes:
      source, pose: names.
      photo, picture: what went in and what came out, in the model's size.
      target_pose: in pixels of them.
      values: of the checks and whatever else is measured; NaN where it could not be judged.
      failed: the checks that failed.
      text: what the picture's file says of how it was made.
    """

    source: str
    pose: str
    photo: UInt8[np.ndarray, "h w 3"]
    picture: UInt8[np.ndarray, "h w 3"]
    target_pose: Float[np.ndarray, "joints 3"]
    values: dict[str, float]
    failed: tuple[str, ...]
    text: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether it passed every check that could be made."""
        return not self.failed


@dataclasses.dataclass(frozen=True, eq=False)
class Acceptance:
    """All results.

    Attributes:
      results: in the order of pictures and poses.
      thresholds: that were applied.
      refused: pictures, or pictures in a pose, that could not be used, and why.
      lost: results that there would have been of them, which count as failed.
      facts: JSON-able: model, judges, settings.
    """

    results: list[Result]
    thresholds: Thresholds
    refused: dict[str, str]
    lost: int
    facts: dict[str, Any]

    @property
    def asked(self) -> int:
        """How many results were asked for."""
        return len(self.results) + self.lost

    @property
    def passed(self) -> int:
        """How many of them passed."""
        return sum(result.passed for result in self.results)

    @property
    def share(self) -> float:
        """Share of the results that were asked for and passed."""
        return self.passed / self.asked

    @property
    def accepted(self) -> bool:
        """Whether enough of them passed."""
        return self.share >= self.thresholds.share

    def to_dict(self) -> dict:
        """Everything but the pictures, ready for JSON."""
        return {"accepted": self.accepted, "share": self.share,
                "thresholds": dataclasses.asdict(self.thresholds), "refused": self.refused,
                "asked": self.asked,
                "results": [{"source": r.source, "pose": r.pose, "passed": r.passed,
                             "failed": list(r.failed), **r.values} for r in self.results]
                } | self.facts
