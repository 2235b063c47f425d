"""Percentile bootstrap over two crossed crowds: the participants and the pictures.

Where everyone judges the same pictures, the answers depend on the person and on the picture.
Resampling people alone answers for these pictures only; resampling both answers for other pictures
of the kind too (the "pigeonhole" bootstrap, Owen, Annals of Applied Statistics 2007; that it errs
on the wide side show Owen & Eckles, ibid. 2012).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from repose_jax.evaluation.statistics.bootstrap import Interval, percentile_interval


def crossed_share(
    hits: Bool[np.ndarray, "participants pictures"], *, resamples: int = 2000,
    level: float = 0.95, seed: int = 0,
) -> Interval:
    """The share of hits, with an interval over participants and pictures.

    Args:
      hits: whether a participant's answer to a picture counts.
      resamples: how many are drawn, of rows and columns independently, with replacement.
      level: confidence level in (0, 1).
      seed: of the resampling.

    Returns:
      The share in [0, 1]; its interval is NaN for a single participant or picture, which tells
      nothing of how participants or pictures differ.
    """
    if not hits.size:
        raise ValueError("no answers to resample")
    participants, pictures = hits.shape
    rng = np.random.default_rng(seed)
    rows, columns = (rng.multinomial(n, np.full(n, 1 / n), size=resamples) for n in hits.shape)
    shares = ((rows @ hits.astype(np.float64)) * columns).sum(1) / hits.size
    return percentile_interval(
        hits.mean(), shares if min(participants, pictures) > 1 else shares[:0], level)
