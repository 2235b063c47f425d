"""A listener that remembers what it was told."""

from __future__ import annotations

from collections.abc import Callable

from repose_jax.common.events import Events


class Heard(Events):
    """Remembers sentences, records and progress; does `act`, if any, at each record."""

    def __init__(self, act: Callable[[str, dict], None] | None = None):
        self.told, self.records, self.steps, self._act = [], [], [], act

    def tell(self, text):
        self.told.append(text)

    def progress(self, stage, done, total, **figures):
        self.steps.append((stage, done, total, figures))

    def record(self, kind, facts):
        self.records.append((kind, facts))
        if self._act:
            self._act(kind, facts)
