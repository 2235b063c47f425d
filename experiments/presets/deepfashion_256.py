"""DeepFashion at 256x176, where to start from with many devices.

Command:   repose train deepfashion-256 --data.path FOLDER --output runs/deepfashion-256
Hardware:  see docs/scale.md; `repose plan deepfashion-256 --topology v5e:16x16` tells more.
Time, scores: not trained here.
"""

from repose_jax.experiments.presets.deepfashion import deepfashion

CONFIG = deepfashion((256, 176), (128, 128, 256, 256, 512), (3, 4), batch_size=256)
