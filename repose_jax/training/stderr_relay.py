"""A program: copies its input to its output, but for what JAX writes when a process is lost.

Its own file, without imports of the package: it starts at once and outlives who writes to it.
"""

from __future__ import annotations

import os
import signal

_LOST = (b"coordination_service", b"JAX distributed service detected fatal errors")
# Told before, by who waits for a notice from the process that is lost; no news where none is.
_BESIDE = b"preemption_sync_manager"
LINE = (b"repose: error: training: another process was lost or did not answer; "
        b"run the same command again to resume from the last checkpoint\n")


def relay(source: int, target: int) -> None:
    """Copies whole lines, and what has no end yet as soon as it cannot be one of JAX's."""
    pending, lost, bar = b"", False, False
    while data := os.read(source, 65536):
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            if lost or _BESIDE in line:
                continue
            # Who finds out before JAX does writes the line itself.
            if line + b"\n" == LINE or any(words in line for words in _LOST):
                lost, line = True, LINE[:-1]
            if bar and line and not line.startswith(b"\r"):
                os.write(target, b"\n")  # what is told does not stand behind an unfinished bar
            bar = False
            os.write(target, line + b"\n")
        # A progress bar ends no line; reports of JAX begin with a letter and a date.
        if pending.startswith(b"\r") and not lost:
            os.write(target, pending)
            pending, bar = b"", True
    if pending and not lost:
        os.write(target, pending)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends when its input does
    relay(0, 1)
