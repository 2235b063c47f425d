"""Re-identification network for Market-1501, 128x64: the judge of identity.

Command:   repose train reid-market1501 --data.path MARKET_FOLDER --output runs/reid-market1501
Hardware:  one CPU core is enough for a first result; any GPU is faster.
Time, scores: see the card (`repose models reid-market1501`).
"""

from repose_jax.data.config import DataConfig
from repose_jax.networks.reid import ReidConfig
from repose_jax.tasks.reid import ReidExperiment
from repose_jax.training.config import LoopConfig
from repose_jax.training.state import OptimizerConfig

CONFIG = ReidExperiment(
    reid=ReidConfig(people=751), data=DataConfig(path="market1501"), margin=0.2,
    train=LoopConfig(
        total_images=400_000, batch_size=64, ema_decay=0.999, log_every_images=3_200,
        checkpoint_every_images=12_800,
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup_images=6_400, decay="cosine",
                                  weight_decay=0.05)))
