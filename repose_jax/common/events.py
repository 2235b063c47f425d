"""What long work tells those who wait for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Events:
    """Hears how long work goes on. Nothing is done with it here; a listener overrides what it wants."""

    def tell(self, text: str) -> None:
        """A sentence for whoever reads along."""

    def progress(self, stage: str, done: int, total: int, **figures: str) -> None:
        """How much of a stage is done; its first call says how much was done before it began.

        Args:
          stage: its name.
          done, total: pictures.
          figures: what else stands well now, such as the loss.
        """

    def record(self, kind: str, facts: Mapping[str, Any]) -> None:
        """What a training run says of itself; see `repose_jax.training.loop.train`."""

    def close(self) -> None:
        """Nothing more comes."""


class Several(Events):
    """Hands everything on to several listeners, in their order."""

    def __init__(self, listeners: Sequence[Events]):
        self._listeners = tuple(listeners)

    def tell(self, text: str) -> None:
        for listener in self._listeners:
            listener.tell(text)

    def progress(self, stage: str, done: int, total: int, **figures: str) -> None:
        for listener in self._listeners:
            listener.progress(stage, done, total, **figures)

    def record(self, kind: str, facts: Mapping[str, Any]) -> None:
        for listener in self._listeners:
            listener.record(kind, facts)

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()


silent = Events()
"""Nobody listens."""
