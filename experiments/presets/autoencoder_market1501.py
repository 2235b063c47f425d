r"""A first stage for Market-1501, 128x64: 4x4 cells of 4 channels.

Command:   repose train autoencoder-market1501 --data.path MARKET_FOLDER --output runs/autoencoder
Hardware:  one CPU core of a small server; any GPU is faster.
Time, scores: not trained here. `repose evaluate --model runs/autoencoder --data MARKET_FOLDER` tells
           how well pictures come back.
"""

from repose_jax.data.config import DataConfig
from repose_jax.experiments.presets.first_stages import first_stage

CONFIG = first_stage(DataConfig(path="market1501"), (128, 64), images=50_000, batch_size=8)
