"""Where in the sampling guidance helps, and which course of its strength.

Command:   repose ablate interval --data MARKET_FOLDER --output runs/interval
"""

from repose_jax.experiments.ablations.market import DEFAULT, market
from repose_jax.studies.ablation import grid

_ON = {"guidance__pif": (DEFAULT.pif,), "guidance__target": (DEFAULT.target,)}

ABLATION = market("Guided part of the sampling", (
    ({"guidance.pif": 0.0, "guidance.target": 0.0},)
    + grid(**_ON, guidance__interval=((0.0, 1.0), (0.0, 0.5), (0.5, 1.0), (0.2, 0.8), (0.0, 0.8)))
    + grid(**_ON, guidance__interval=((0.0, 1.0),), guidance__shape=("linear", "cosine"))))
