"""Over- and under-correction: both weights from nothing to far too much.

Command:   repose ablate weight --data MARKET_FOLDER --output runs/weight
"""

from repose_jax.experiments.ablations.market import DEFAULT, market
from repose_jax.ablation import grid

_STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)

ABLATION = market("Strength of the guidance, by the target and by the field alone", (
    ({"guidance.pif": 0.0, "guidance.target": 0.0, "guidance.strength": 0.0},)
    + grid(guidance__pif=(0.0,), guidance__target=(1.0,), guidance__strength=_STRENGTHS)
    + grid(guidance__pif=(1.0,), guidance__target=(0.0,), guidance__strength=_STRENGTHS)))
