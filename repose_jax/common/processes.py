"""Worker processes that end with the process they work for."""

from __future__ import annotations

import multiprocessing
import os
import threading
from typing import Any


def end_with_parent(*_: Any) -> None:
    """Called first in a worker, ends it as soon as its parent is gone, however that ended.

    Does nothing in a process that `multiprocessing` did not start. Arguments, as pools hand them to
    such functions, are ignored.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)  # nobody is left to tell, or to wait for what has not been done

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
