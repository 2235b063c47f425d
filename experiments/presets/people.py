"""Rendered people, 128x64: the denoiser of the `people` model, on a painter that stays.

Command:   repose train people --init runs/painter --output runs/people
Hardware:  one CPU core of a small server; any GPU is faster.
Time, scores: docs/training-log.md.
"""

from repose_jax.experiments.presets import refining
from repose_jax.tasks.pose_transfer import PARTS, ExperimentConfig

CONFIG = ExperimentConfig(
    model=refining.model("openpose18", scene=True, initial="turned"), data=refining.PEOPLE,
    objective=refining.OBJECTIVE, frozen=PARTS,
    sample=refining.sample("people"),
    train=refining.refiner_train(60_000))
