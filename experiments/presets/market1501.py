r"""Market-1501, 128x64: the bundled `market1501` model, its denoiser on a painter that stays.

Command:   repose train painter-market1501 --data.path MARKET_FOLDER --data.hold-out 50 \
               --output runs/painter
           repose train market1501 --data.path MARKET_FOLDER --data.hold-out 50 \
               --init runs/painter --output runs/market1501
Hardware:  one CPU core of a small server; any GPU is faster.
Time, scores: docs/training-log.md and the model's card (`repose models market1501`).
"""

import dataclasses

from repose_jax.data.config import DataConfig
from repose_jax.experiments.presets import refining
from repose_jax.tasks.pose_transfer import PARTS, ExperimentConfig

CONFIG = ExperimentConfig(
    model=refining.model("market14", scene=True), data=DataConfig(path="market1501"),
    objective=dataclasses.replace(refining.OBJECTIVE, keep_place=True), frozen=PARTS,
    sample=refining.sample("market1501"), train=refining.refiner_train(60_000))
