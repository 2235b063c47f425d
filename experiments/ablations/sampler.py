"""Steps and classifier-free weight, without gradient guidance and with it.

Command:   repose ablate sampler --data MARKET_FOLDER --output runs/sampler
"""

from repose_jax.experiments.ablations.market import DEFAULT, market
from repose_jax.studies.ablation import grid

ABLATION = market("Steps, classifier-free weight and guidance", grid(
    guidance__target=(0.0, DEFAULT.target), steps=(6, 12, 25, 50), source_weight=(1.0, 2.0, 3.0)))
