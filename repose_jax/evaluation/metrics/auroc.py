"""Area under the receiver operating characteristic: do scores tell two kinds apart?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped


def auroc(
    low: Float[np.ndarray, "n"],
    high: Float[np.ndarray, "m"],
    low_weight: Shaped[np.ndarray, "n"] | None = None,
    high_weight: Shaped[np.ndarray, "m"] | None = None,
) -> float:
    """Probability that a score of `high` exceeds one of `low`; a tie counts half.

    The Mann-Whitney statistic over n m (Hanley & McNeil 1982).

    Args:
      low, high: scores of the kinds that should score low and high.
      low_weight, high_weight: how often each counts; once by default.
    """
    values, place = np.unique(np.concatenate([low, high]), return_inverse=True)
    low_weight = np.ones(len(low)) if low_weight is None else low_weight
    high_weight = np.ones(len(high)) if high_weight is None else high_weight
    below = np.bincount(place[:len(low)], low_weight, len(values))
    above = np.bincount(place[len(low):], high_weight, len(values))
    beaten = np.cumsum(below) - below / 2
    return float((beaten * above).sum() / (below.sum() * above.sum()))
