"""Pose estimator for rendered people, 128x64, openpose18: the one that judges.

Command:   repose train judge-people --output runs/judge-people
Hardware:  one CPU core is enough for a first result; any GPU is faster.
Time, scores: see the card (`repose models judge-people`).
"""

from repose_jax.data.config import DataConfig
from repose_jax.experiments.presets import estimators

CONFIG = estimators.judge(
    "openpose18", "people", DataConfig(path="people", identities=3000, seed=1), 200_000)
