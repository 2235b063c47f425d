"""Which way a person faces, read off a pose of openpose18: the bundled `facing-openpose18`.

Command:   repose train facing-openpose18 --output runs/facing
Hardware:  one CPU core; a few minutes, nearly all of them to render the people.
Time, scores: see the card (`repose models facing-openpose18`).
"""

from repose_jax.experiments.presets import facing

CONFIG = facing.facing("openpose18", framing="any")
