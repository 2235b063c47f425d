"""Pose interaction field of Market-1501's poses, market14: the bundled `field-market1501`.

Command:   repose train field-market1501 --data.path MARKET_FOLDER --output runs/field-market1501
Hardware:  one CPU core; some minutes, of which the labels take two.
Time, scores: see the card (`repose models field-market1501`).
"""

from repose_jax.data.config import DataConfig
from repose_jax.experiments.presets import fields

CONFIG = fields.field("market14", DataConfig(path="market1501"))
