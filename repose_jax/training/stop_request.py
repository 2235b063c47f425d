"""A run that is asked to end does so after a step, with a checkpoint."""

from __future__ import annotations

import signal
import threading
from typing import Any

import jax

from repose_jax.training.distributed import stop_agreed, stop_all


class StopRequest:
    """Turns the first Ctrl-C or SIGTERM into a wish to end after this step; the second one acts.

    Several processes have to end after the same step, or some would wait for ever: JAX takes SIGTERM,
    given to any of them, and finds the step.
    """

    def __init__(self):
        self.requested = False
        self._several = jax.process_count() > 1
        self._old: dict[int, Any] = {}

    def wanted(self, step: int, late: bool) -> bool:
        """Whether to end before a step; `late` asks for it."""
        if not self._several:
            return self.requested or late
        if late and not self.requested:
            self.requested = True
            stop_all()
        return stop_agreed(step)

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT,) if self._several else (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _request(self, number: int, frame: object) -> None:
        self.requested = True
        self._restore()
        if self._several:
            stop_all()

    def _restore(self) -> None:
        for number, handler in self._old.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._old = {}
