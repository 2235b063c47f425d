"""Market-1501, 128x64: painted from noise alone by a small network, without a painter.

The bundled `market1501` model of version 0.1; its runs go on with this preset.

Command:   repose train small-market1501 --data.path MARKET_FOLDER --output runs/small
Hardware:  one CPU core of a small server is enough for a first result; any GPU is faster.
Time, scores: see the model's card (`repose models market1501`).
"""

from repose_jax.data.config import DataConfig
from repose_jax.experiments.presets import small
from repose_jax.tasks.pose_transfer import ExperimentConfig

CONFIG = ExperimentConfig(
    model=small.model(skeleton="market14"),
    data=DataConfig(path="market1501"),
    objective=small.OBJECTIVE,
    sample=small.sample("market1501"),
    train=small.train(44_000))
