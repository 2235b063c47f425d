"""Which way a person faces, read off a pose of market14: the bundled `facing-market14`.

Command:   repose train facing-market14 --output runs/facing
Hardware:  one CPU core; a few minutes, nearly all of them to render the people.
Time, scores: see the card (`repose models facing-market14`).
"""

from repose_jax.experiments.presets import facing

CONFIG = facing.facing("market14")
