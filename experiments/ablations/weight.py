"""Over- and under-correction: both weights from nothing to far too much.

Command:   repose ablate weight --data MARKET_FOLDER --output runs/weight
"""

from repose_jax.experiments.ablations.market import DEFAULT, market
from repose_jax.studies.ablation import grid

_OFF = {"guidance.pif": 0.0, "guidance.target": 0.0, "guidance.strength": 0.0}

ABLATION = market("Strength of the guidance, by both terms and by the field alone", (
    (_OFF,)
    + grid(guidance__pif=(DEFAULT.pif,), guidance__target=(DEFAULT.target,),
           guidance__strength=(DEFAULT.strength, 0.3, 1.0, 5.0, 15.0))
    + grid(guidance__pif=(1.0,), guidance__target=(0.0,), guidance__strength=(1.0, 5.0))))
