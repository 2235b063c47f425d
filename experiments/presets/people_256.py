"""Rendered people, 256x128: the denoiser of the `people-256` model, on a painter that stays.

Command:   repose train people-256 --init runs/painter-256 --output runs/people-256
Hardware:  one CPU core of a small server; any GPU is faster.
Time, scores: docs/training-log.md.
"""

from repose_jax.experiments.presets import refining
from repose_jax.tasks.pose_transfer import PARTS, ExperimentConfig

CONFIG = ExperimentConfig(
    model=refining.model("openpose18", scene=True, initial="turned", finer=2, photos=True),
    data=refining.LARGER_PEOPLE,
    objective=refining.OBJECTIVE, frozen=PARTS,
    sample=refining.sample("people", head=1.0, palette=0.4),
    train=refining.refiner_train(60_000))
