"""Rendered people, 128x64: source encoder, alignment and painter of a model that refines.

Command:   repose train painter-people --output runs/painter
Hardware:  one CPU core of a small server; any GPU is faster.
Time, scores: docs/training-log.md.
"""

from repose_jax.experiments.presets import refining
from repose_jax.tasks.painter import PainterExperiment

CONFIG = PainterExperiment(
    model=refining.model("openpose18", scene=True, initial="turned"),
    data=refining.PEOPLE,
    facing="facing-openpose18",
    sample=refining.sample("people", steps=0),
    objective=refining.TAUGHT,
    train=refining.painter_train(60_000))
