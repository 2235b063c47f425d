"""Rendered people, 128x64: the architecture of version 0.1, without a painter. Needs no download.

Command:   repose train small-people --output runs/small
Hardware:  one CPU core of a small server is enough for a first result; any GPU is faster.
Time, scores: docs/training-log.md.
"""

from repose_jax.data.config import DataConfig
from repose_jax.experiments.presets import small
from repose_jax.tasks.pose_transfer import ExperimentConfig

CONFIG = ExperimentConfig(
    model=small.model(skeleton="openpose18"),
    data=DataConfig(path="people", identities=3000, views=6),
    objective=small.OBJECTIVE,
    sample=small.sample("people"),
    train=small.train(40_000))
