"""Market-1501, 128x64: the painter's last phase, with a discriminator.

Command:   repose train sharp-painter-market1501 --data.path MARKET_FOLDER --init runs/painter \
               --output runs/sharp
Hardware:  one CPU core of a small server; any GPU is faster.
Time, scores: docs/training-log.md.
"""

from repose_jax.data.config import DataConfig
from repose_jax.experiments.presets import refining
from repose_jax.tasks.painter import PainterExperiment

CONFIG = PainterExperiment(
    model=refining.model("market14"), data=DataConfig(path="market1501", hold_out=50),
    sample=refining.sample("market1501", steps=0),
    objective=refining.painting(sharp=True), train=refining.painter_train(60_000, sharp=True))
