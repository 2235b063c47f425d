"""The paper's shape of ablation: alignment on and off, field on and off, target term on and off.

Command:   repose ablate components --data MARKET_FOLDER --output runs/components

Two models, with alignment and without, trained alike for a short while; neither is bundled:

    repose train market1501 --data.path MARKET_FOLDER --train.total-images 6400 \
        --train.optimizer.warmup-images 800 --output runs/market1501-k3
    repose train market1501 --data.path MARKET_FOLDER --train.total-images 6400 \
        --train.optimizer.warmup-images 800 --model.network.rpa.iterations 0 \
        --output runs/market1501-k0
"""

from repose_jax.experiments.ablations.market import DEFAULT, market
from repose_jax.studies.ablation import grid

ABLATION = market("Alignment, field and target term, on and off", grid(
    model=("runs/market1501-k0", "runs/market1501-k3"),
    guidance__pif=(0.0, DEFAULT.pif), guidance__target=(0.0, DEFAULT.target)))
