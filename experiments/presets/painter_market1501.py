r"""Market-1501, 128x64: source encoder, alignment and painter of the `market1501` model.

Command:   repose train painter-market1501 --data.path MARKET_FOLDER --data.hold-out 50 \
               --output runs/painter
Hardware:  one CPU core of a small server; any GPU is faster.
Time, scores: docs/training-log.md.
"""

from repose_jax.data.config import DataConfig
from repose_jax.experiments.presets import refining
from repose_jax.tasks.painter import PainterExperiment

CONFIG = PainterExperiment(
    model=refining.model("market14", scene=True), data=DataConfig(path="market1501"),
    sample=refining.sample("market1501", steps=0), objective=refining.IN_ITS_PLACE,
    train=refining.painter_train(60_000))
