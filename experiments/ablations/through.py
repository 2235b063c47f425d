"""The gradient through the denoiser against that with respect to x0: quality for cost.

Command:   repose ablate through --data MARKET_FOLDER --output runs/through
"""

from repose_jax.experiments.ablations.market import DEFAULT, market
from repose_jax.studies.ablation import grid

_ON = {"guidance__pif": (DEFAULT.pif,), "guidance__target": (DEFAULT.target,),
       "guidance__through": ("x0", "denoiser")}

ABLATION = market("Through the denoiser or with respect to x0", (
    ({"guidance.pif": 0.0, "guidance.target": 0.0},)
    + grid(**_ON, guidance__normalize=("polyak",))
    # Every step moves a pixel by as much, whatever is left to correct.
    + grid(**_ON, guidance__normalize=("unit",), guidance__strength=(0.05,))))
