"""Endless batches that are drawn at random, each from the seed and its number alone."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping

import numpy as np


class DrawnBatches(Iterator[Mapping[str, np.ndarray]], abc.ABC):
    """An endless stream whose state is how many batches have been drawn."""

    def __init__(self, seed: int):
        self._seed, self._position = seed, 0

    @abc.abstractmethod
    def draw(self, rng: np.random.Generator, position: int) -> Mapping[str, np.ndarray]:
        """Batch number `position`, all of whose chance comes from `rng`."""

    def __next__(self) -> Mapping[str, np.ndarray]:
        position, self._position = self._position, self._position + 1
        return self.draw(np.random.default_rng([self._seed, position]), position)

    def get_state(self) -> dict[str, int]:
        """The position."""
        return {"next_batch": self._position}

    def set_state(self, state: dict[str, int]) -> None:
        """Continues from a state that `get_state` gave."""
        self._position = int(state["next_batch"])
