"""Rendered people, 128x64: the painter's last phase, with a discriminator.

Command:   repose train sharp-painter-people --init runs/painter \
               --output runs/sharp
Hardware:  one CPU core of a small server; any GPU is faster.
Time, scores: docs/training-log.md.
"""

from repose_jax.data.config import DataConfig
from repose_jax.experiments.presets import refining
from repose_jax.tasks.painter import PainterExperiment

CONFIG = PainterExperiment(
    model=refining.model("openpose18"), data=DataConfig(path="people", identities=3000, views=6),
    sample=refining.sample("people", steps=0),
    objective=refining.painting(sharp=True), train=refining.painter_train(60_000, sharp=True))
