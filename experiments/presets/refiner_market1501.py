"""Market-1501, 128x64: the denoiser of the `market1501` model, on a painter that stays.

Command:   repose train refiner-market1501 --data.path MARKET_FOLDER --init runs/sharp \
               --output runs/refiner
Hardware:  one CPU core of a small server; any GPU is faster.
Time, scores: docs/training-log.md.
"""

from repose_jax.data.config import DataConfig
from repose_jax.experiments.presets import refining
from repose_jax.tasks.painter import PARTS
from repose_jax.tasks.pose_transfer import ExperimentConfig

CONFIG = ExperimentConfig(
    model=refining.model("market14"), data=DataConfig(path="market1501", hold_out=50),
    objective=refining.OBJECTIVE, frozen=PARTS,
    sample=refining.sample("market1501"),
    train=refining.refiner_train(60_000))
