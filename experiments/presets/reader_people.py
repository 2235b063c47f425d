"""Pose estimator for photos, 128x64, openpose18, learnt from rendered people whole and in part.

Command:   repose train reader-people --output runs/reader-people
Hardware:  one CPU core is enough; any GPU is faster.
Time, scores: see the card (`repose models reader-people`).
"""

import dataclasses

from repose_jax.experiments.presets import estimators, refining

CONFIG = estimators.reader(
    "openpose18", "people",
    dataclasses.replace(refining.LARGER_PEOPLE, identities=6000, views=2, heads="following"),
    200_000)
