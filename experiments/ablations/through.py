"""The gradient through the denoiser against that with respect to x0: quality for cost.

Command:   repose ablate through --data MARKET_FOLDER --output runs/through
"""

from repose_jax.experiments.ablations.market import DEFAULT, market
from repose_jax.ablation import grid

ABLATION = market("Through the denoiser or with respect to x0", (
    ({"guidance.pif": 0.0, "guidance.target": 0.0},)
    + grid(guidance__through=("x0", "denoiser"), guidance__normalize=("polyak", "unit", "none"),
           guidance__target=(DEFAULT.target,), guidance__pif=(DEFAULT.pif,))))
