"""The people whom a detector found in a picture."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Detections:
    """The people who were found in a picture.

    Attributes:
      poses: [n, joints, 3]; every joint has a place, visibilities are not used.
      scores: [n], how sure the finder is of each.
    """

    poses: Float[np.ndarray, "n joints 3"]
    scores: Float[np.ndarray, "n"]

    def __post_init__(self):
        if len(self.poses) != len(self.scores):
            raise ValueError(f"{len(self.poses)} poses with {len(self.scores)} scores")
