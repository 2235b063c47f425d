"""Rendered people, 256x128: the painter of `painter-people`, its cells of twice the pixels.

Command:   repose train painter-people-256 --init runs/painter --output runs/painter-256
Hardware:  one CPU core of a small server; any GPU is faster.
Time, scores: docs/training-log.md.
"""

import dataclasses

from repose_jax.experiments.presets import refining
from repose_jax.tasks.painter import PainterExperiment

CONFIG = PainterExperiment(
    model=refining.model("openpose18", scene=True, initial="turned", finer=2, photos=True),
    # Poses of photos are rough.
    data=dataclasses.replace(refining.LARGER_PEOPLE, augment=dataclasses.replace(
        refining.LARGER_PEOPLE.augment, joints=1.0)),
    facing="facing-openpose18",
    sample=refining.sample("people", steps=0, head=1.0, palette=0.4),
    # Distances of flows are pixels, of which there are twice as many. EfficientNet-Lite0 would take
    # half of the time. Heads are small, and looked at first. Of photos (--data.also) each is
    # taken in a place of its own.
    objective=dataclasses.replace(
        refining.TAUGHT, correspondence=0.025, smooth=0.01, perceived=0.5, head=4.0, close_up=0.2,
        repaint=0.15, spare_hidden=True, keep_place=True),
    train=refining.painter_train(60_000))
