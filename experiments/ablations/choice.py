"""How the default guidance was chosen: on training people, one setting at a time around it.

Command:   repose ablate choice --split train --pairs 100 --data MARKET_FOLDER --output runs/choice
"""

from repose_jax.experiments.ablations.market import market
from repose_jax.studies.ablation import Settings, grid

_CENTRE: Settings = {"guidance.pif": 1.0, "guidance.target": 1.0, "guidance.strength": 2.0,
                     "guidance.clip": 0.1, "guidance.interval": (0.0, 1.0)}

_AROUND = grid(guidance__strength=(0.5, 1.0, 3.0, 5.0)) + grid(guidance__clip=(0.05, 0.2, 0.0)) + (
    grid(guidance__pif=(0.0, 3.0, 10.0)) + grid(guidance__shape=("linear",))
    + grid(guidance__interval=((0.0, 0.7), (0.3, 1.0))))

ABLATION = market("Settings around the default", (
    {"guidance.pif": 0.0, "guidance.target": 0.0}, _CENTRE,
    *(_CENTRE | settings for settings in _AROUND)))
