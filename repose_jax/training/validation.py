"""The loss on people whom training leaves out, and the model that did best on them."""

from __future__ import annotations

import functools
import math
import pathlib
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key

from repose_jax.training.log import TrainingLog
from repose_jax.training.parallel import DataParallel
from repose_jax.training.state import Params
from repose_jax.training.step import Batches, LossFn, make_evaluation, own_rows

FILE_NAME = "validation.jsonl"
_APART = 2**32 - 1  # a number that no step reaches: its noise is no step's


class Validation:
    """Measures averaged parameters on the same batches, with the same noise, each time.

    Args:
      held_out: their batches, put back to where they are now before each measurement.
      count: batches to measure.
      batch_size: of all devices together.
      loss_fn: see `repose_jax.training.step.LossFn`.
      devices: where.
      key: of the run.
      folder: its `validation.jsonl` gets a row a measurement.
      write: whether this process writes that.
    """

    def __init__(self, held_out: Batches, count: int, batch_size: int, loss_fn: LossFn,
                 devices: DataParallel, key: Key[Array, ""], folder: pathlib.Path, write: bool):
        self._batches = own_rows(held_out, batch_size, devices.rows(batch_size))
        self._start, self._count = self._batches.get_state(), count
        self._evaluate = devices.evaluator(functools.partial(make_evaluation, loss_fn))
        self._keys = [jax.random.fold_in(jax.random.fold_in(key, _APART), i) for i in range(count)]
        self._folder, self._log, self._write = folder, TrainingLog(folder, FILE_NAME), write
        self._best = math.inf

    def resume(self, images: int, best: float | None) -> None:
        """Goes on at `images`, where `best` was the lowest loss: forgets what came later."""
        self._best = math.inf if best is None else best
        if self._write and (self._folder / FILE_NAME).exists():
            self._log.cut(images)

    @property
    def best(self) -> float | None:
        """The lowest loss so far; None before the first."""
        return None if math.isinf(self._best) else self._best

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What was measured: "images", "loss" and the parts of the loss."""
        return self._log.rows()

    def measure(self, params: Params, frozen: Params | None, images: int
                ) -> tuple[dict[str, Any], bool]:
        """A row for the averaged parameters at `images`, also written, and whether it is the best."""
        self._batches.set_state(self._start)
        found = [self._evaluate(params, next(self._batches), key, frozen) for key in self._keys]
        values = jax.device_get(found)
        row = {"images": images} | {
            name: float(np.mean([value[name] for value in values])) for name in values[0]}
        if self._write:
            self._log.append(row)
        better = row["loss"] < self._best
        if better:
            self._best = row["loss"]
        return row, better
