"""Pose estimator for Market-1501, 128x64, market14: the one that guides.

Command:   repose train estimator-market1501 --data.path MARKET_FOLDER --output runs/estimator
Hardware:  one CPU core is enough for a first result; any GPU is faster.
Time, scores: see the card (`repose models estimator-market1501`).
"""

from repose_jax.data.config import DataConfig
from repose_jax.experiments.presets import estimators

CONFIG = estimators.guide("market14", "market1501", DataConfig(path="market1501"), 200_000)
