r"""DeepFashion at 512x352 in latents of 64x44x4 of Stable Diffusion's autoencoder.

Command:   repose import autoencoder vae/diffusion_pytorch_model.safetensors -o runs/sd-vae
           repose train deepfashion-512-latent --first-stage runs/sd-vae --data.path FOLDER \
               --output runs/deepfashion-512-latent
Hardware:  meant for GPUs; `repose plan deepfashion-512-latent --topology h100:8 --estimate` tells more.
Time, scores: not trained here.
"""

from repose_jax.experiments.presets.deepfashion import deepfashion_latent
from repose_jax.experiments.presets.first_stages import STABLE_DIFFUSION

CONFIG = deepfashion_latent((512, 352), STABLE_DIFFUSION, batch_size=256)
