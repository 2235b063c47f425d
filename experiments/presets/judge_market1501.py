"""Pose estimator for Market-1501, 128x64, market14: the one that judges.

Command:   repose train judge-market1501 --data.path MARKET_FOLDER --output runs/judge-market1501
Hardware:  one CPU core is enough for a first result; any GPU is faster.
Time, scores: see the card (`repose models judge-market1501`).
"""

from repose_jax.data.config import DataConfig
from repose_jax.experiments.presets import estimators

CONFIG = estimators.judge("market14", "market1501", DataConfig(path="market1501", seed=1), 200_000)
