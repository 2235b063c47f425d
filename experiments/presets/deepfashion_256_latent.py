r"""DeepFashion at 256x176 in latents of 64x44x4 of a first stage of ours.

Command:   repose train autoencoder-deepfashion --data.path FOLDER --output runs/autoencoder
           repose train deepfashion-256-latent --first-stage runs/autoencoder --data.path FOLDER \
               --output runs/deepfashion-256-latent
Hardware:  meant for GPUs; `repose plan deepfashion-256-latent --topology h100:8 --estimate` tells more.
Time, scores: not trained here.
"""

from repose_jax.experiments.presets.deepfashion import deepfashion_latent
from repose_jax.experiments.presets.first_stages import SMALL

CONFIG = deepfashion_latent((256, 176), SMALL, batch_size=256)
