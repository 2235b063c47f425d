"""Pose estimator for rendered people, 128x64, openpose18: the one that guides.

Command:   repose train estimator-people --output runs/estimator-people
Hardware:  one CPU core is enough for a first result; any GPU is faster.
Time, scores: see the card (`repose models estimator-people`).
"""

from repose_jax.data.config import DataConfig
from repose_jax.experiments.presets import estimators

CONFIG = estimators.guide("openpose18", "people", DataConfig(path="people", identities=3000), 200_000)
