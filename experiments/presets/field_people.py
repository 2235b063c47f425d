"""Pose interaction field of rendered people's poses, openpose18: the bundled `field-people`.

Command:   repose train field-people --output runs/field-people
Hardware:  one CPU core; some minutes, of which the labels take two.
Time, scores: see the card (`repose models field-people`).
"""

from repose_jax.data.config import DataConfig
from repose_jax.experiments.presets import fields

CONFIG = fields.field("openpose18", DataConfig(path="people", identities=2000))
