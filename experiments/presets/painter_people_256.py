"""Rendered people, 256x128: the painter of `painter-people`, its cells of twice the pixels.

Command:   repose train painter-people-256 --init runs/painter --output runs/painter-256
Hardware:  one CPU core of a small server; any GPU is faster.
Time, scores: docs/training-log.md.
"""

import dataclasses

from repose_jax.experiments.presets import painter_people, refining

CONFIG = dataclasses.replace(
    painter_people.CONFIG,
    model=refining.model("openpose18", scene=True, initial="turned", finer=2),
    # Distances of flows are pixels, of which there are twice as many. EfficientNet-Lite0 would take half
    # of the time.
    objective=dataclasses.replace(
        painter_people.CONFIG.objective, correspondence=0.025, smooth=0.01, perceived=0.5),
    train=refining.painter_train(60_000))
