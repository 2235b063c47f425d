"""How long a training is, and what it leaves behind."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from repose_jax.common.errors import UserError
from repose_jax.common.ranges import Natural, Positive, Range, Seed, Weight, check_fields
from repose_jax.training.parallel import Mode
from repose_jax.training.state import OptimizerConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long to train, and what to leave behind how often.

    Attributes:
      total_images: training ends when this many images have been seen.
      batch_size: images a step, over all devices.
      seed: of all noise in training.
      log_every_images: a row of the log; the loss in it is the mean since the row before. 0 = one
        at the end.
      checkpoint_every_images: a checkpoint and a loss curve; there is always one at the end, 0 =
        none before it.
      keep: how many checkpoints to keep.
      sample_every_images: a sample picture; 0 = only at the end.
      validate_every_images: measure the loss on the people that training holds out
        (`--data.hold-out`), and keep the model that did best on them beside the last; 0 = never.
      validation_batches: batches of them to measure it on, the same each time.
      bad_steps: what follows a step whose loss or gradient is not finite, or whose loss is a spike;
        such a step is never applied. "stop" ends the run, "skip" goes on with the next batch, "back"
        goes on with it from the newest checkpoint.
      spike: a loss above so many times the median of the last 100 is a spike; 0 = none is.
      prefetch: batches that are on their way to the devices while these compute; None = 2 on GPUs and
        TPUs, 0 on CPUs, where there is no way.
      max_minutes: end, with a checkpoint, after this wall time (resumed runs count together).
      accumulate: parts of a batch whose gradients are averaged one after the other: as the whole
        batch, in less memory.
      parallel: "pmap", "jit" or "fsdp", see `repose_jax.training.parallel`.
      ema_decay: of the averaged parameters, per step.
      optimizer: how parameters are moved.
    """

    total_images: Positive
    batch_size: Positive
    seed: Seed = 0
    log_every_images: Natural = 1_000
    checkpoint_every_images: Natural = 10_000
    keep: Positive = 3
    sample_every_images: Natural = 10_000
    validate_every_images: Natural = 0
    validation_batches: Positive = 8
    bad_steps: Literal["stop", "skip", "back"] = "stop"
    spike: Annotated[float, Range(0)] = 0.0
    prefetch: Natural | None = None
    max_minutes: Weight | None = None
    accumulate: Positive = 1
    parallel: Mode = "pmap"
    ema_decay: Annotated[float, Range(0, 1, open_high=True)] = 0.999
    optimizer: OptimizerConfig = OptimizerConfig()

    def __post_init__(self):
        check_fields(self, "train")
        if 0 < self.spike <= 1:
            raise UserError("train.spike", f"is {self.spike}", "give a number above 1, or 0 for none")

    def schedule(self) -> OptimizerConfig:
        """The optimizer, its decay as long as the training unless it has a length of its own."""
        if self.optimizer.decay == "constant" or self.optimizer.total_images is not None:
            return self.optimizer
        return dataclasses.replace(self.optimizer, total_images=self.total_images)

    def identity(self) -> dict[str, Any]:
        """The fields that decide what the parameters become; a resumed run must share them."""
        return {"seed": self.seed, "batch_size": self.batch_size, "ema_decay": self.ema_decay,
                "optimizer": dataclasses.asdict(self.schedule())}
