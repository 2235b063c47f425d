r"""A first stage for DeepFashion, 256x176: 4x4 cells of 4 channels.

Command:   repose train autoencoder-deepfashion --data.path FOLDER --output runs/autoencoder
Hardware:  meant for a GPU.
Time, scores: not trained here.
"""

from repose_jax.data.config import DataConfig
from repose_jax.experiments.presets.first_stages import first_stage

CONFIG = first_stage(DataConfig(path="deepfashion", workers=8, cache=False), (256, 176),
                     images=400_000, batch_size=32)
