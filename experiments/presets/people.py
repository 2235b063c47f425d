"""Rendered people, 128x64: the bundled `people` model. Needs no download.

Command:   repose train people --output runs/people
Hardware:  one CPU core of a small server is enough for a first result; any GPU is faster.
Time, scores: see the model's card (`repose models people`).
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
