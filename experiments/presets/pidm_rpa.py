"""Fine-tunes PIDM's weights with recurrent pose alignment: the architecture that `import pidm` writes.

Command:   repose import pidm last.pt --rpa 3 -o runs/pidm
           repose train pidm-rpa --init runs/pidm --data.path FOLDER --output runs/pidm-rpa
Hardware:  as `base`.
Time, scores: not trained here. At the first step the output is PIDM's.
"""

import dataclasses

from repose_jax.experiments.presets.base import CONFIG as BASE
from repose_jax.networks.rpa import RPAConfig

_NETWORK = dataclasses.replace(BASE.model.network, maps="pidm", rpa=RPAConfig(
    iterations=3, initial="zero", hidden=64, copy=False))

CONFIG = dataclasses.replace(
    BASE, model=dataclasses.replace(BASE.model, network=_NETWORK),
    train=dataclasses.replace(BASE.train, total_images=1_000_000, optimizer=dataclasses.replace(
        BASE.train.optimizer, warmup_images=32_000)))
