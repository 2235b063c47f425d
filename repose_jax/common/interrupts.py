"""Ctrl-C that is not lost."""

from __future__ import annotations

import contextlib
import signal
import threading
import types
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def remembered_interrupts() -> Iterator[Callable[[], None]]:
    """Within the block an interrupt raises KeyboardInterrupt as always, and is also remembered.

    It is raised wherever Python happens to be, which may be within a library that takes every error for
    a missing package and goes on. What is yielded raises it again; it is to be called now and then.
    Other threads than the main one, and programs that handle SIGINT by themselves, are left alone.
    """
    heard = False

    def remember(number: int, frame: types.FrameType | None) -> None:
        nonlocal heard
        heard = True
        signal.default_int_handler(number, frame)

    def check() -> None:
        if heard:
            raise KeyboardInterrupt

    if (threading.current_thread() is not threading.main_thread()
            or signal.getsignal(signal.SIGINT) is not signal.default_int_handler):
        yield check
        return
    signal.signal(signal.SIGINT, remember)
    try:
        yield check
        check()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
