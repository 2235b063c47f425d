"""The paper's shape of ablation: alignment on and off, field on and off, target term on and off.

Command:   repose ablate components --data MARKET_FOLDER --output runs/components

The model without alignment is trained like the bundled one but for K = 0, and is not bundled:

    repose train market1501 --data.path MARKET_FOLDER --model.network.rpa.iterations 0 \
        --output runs/market1501-k0
"""

from repose_jax.experiments.ablations.market import DEFAULT, market
from repose_jax.ablation import grid

ABLATION = market("Alignment, field and target term, on and off", grid(
    model=("market1501", "runs/market1501-k0"),
    guidance__pif=(0.0, DEFAULT.pif), guidance__target=(0.0, DEFAULT.target)))
