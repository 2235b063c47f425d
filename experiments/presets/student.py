"""A student of one step for a model that takes several; another teacher by `--teacher`.

Command:   repose train student --teacher MODEL --steps 4 --data.path FOLDER --output runs/student
Hardware:  one CPU core of a small server; any GPU is faster.
Time, scores: docs/speed.md.
"""

from repose_jax.data.config import DataConfig
from repose_jax.tasks.distill import DistillExperiment
from repose_jax.training.config import LoopConfig
from repose_jax.training.state import OptimizerConfig

CONFIG = DistillExperiment(
    data=DataConfig(path="market1501"),
    train=LoopConfig(
        total_images=20_000, batch_size=8, ema_decay=0.999, log_every_images=400,
        checkpoint_every_images=2_000, sample_every_images=4_000,
        optimizer=OptimizerConfig(learning_rate=3e-4, warmup_images=800, decay="cosine")))
