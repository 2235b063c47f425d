"""Batches that are on their way to the devices while these compute."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.training.step import Batches


class Prefetched:
    """The batches of a run, with the state that the data had before each of them.

    Args:
      batches: where they come from.
      put: starts to copy a batch to the devices.
      ahead: how many are drawn before they are asked for.
      rows: of a batch that this process hands in.
      batch_size: images of a batch.
      images: that the run has seen.
      total_images: beyond them nothing is drawn.
    """

    def __init__(self, batches: Batches, put: Callable[[Any], Any], *, ahead: int, rows: int,
                 batch_size: int, images: int, total_images: int):
        self._batches, self._put, self._ahead, self._rows = batches, put, ahead, rows
        self._batch_size, self._images, self._total = batch_size, images, total_images
        self._ready: collections.deque[tuple[Any, Any]] = collections.deque()

    def next(self) -> tuple[Any, Any]:
        """(the data's state before the batch, the batch).

        Raises:
          UserError: the data end, or their batches are of another size.
        """
        return self._ready.popleft() if self._ready else self._draw()

    def fill(self) -> None:
        """Draws ahead; to be called when the devices have something to do. UserError as `next`."""
        while len(self._ready) < self._ahead and self._images < self._total:
            self._ready.append(self._draw())

    def get_state(self) -> Any:
        """The data's state before the batch that `next` will give."""
        return self._ready[0][0] if self._ready else self._batches.get_state()

    def _draw(self) -> tuple[Any, Any]:
        place = self._batches.get_state()
        try:
            batch: Mapping[str, np.ndarray] = next(self._batches)
        except StopIteration:
            raise UserError("data", f"end after {self._images} images",
                            "repeat them without end") from None
        size = jax.tree.leaves(batch)[0].shape[0]
        if size != self._rows:
            raise UserError("data", f"give a batch of {size} where {self._rows} is asked for",
                            "make the two batch sizes equal")
        self._images += self._batch_size
        return place, self._put(batch)
