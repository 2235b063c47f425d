"""DeepFashion at 512x352, where to start from with many devices.

Command:   repose train deepfashion-512 --data.path FOLDER --output runs/deepfashion-512
Hardware:  see docs/scale.md; `repose plan deepfashion-512 --topology v5e:16x16` tells more.
Time, scores: not trained here.
"""

from repose_jax.experiments.presets.deepfashion import deepfashion

CONFIG = deepfashion((512, 352), (128, 128, 256, 256, 512, 512), (4, 5), batch_size=256)
