"""Memory that the C library keeps for what comes next.

A training step on a CPU asks for some gigabytes and gives them back. glibc returns them to the
system at once, which has to clear every page anew in the next step: of a step of PIDM's network at
256x256 a fifth of the time (docs/speed.md).
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
from collections.abc import Mapping

# malloc.h of glibc: how many threads share one pool, what is kept of it, and nothing beside it.
_POOLS, _KEPT, _APART = -8, -1, -4


def keeps_to_itself(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether JAX will find no accelerator and nobody has set glibc's allocator otherwise.

    Threads that feed an accelerator would wait for each other in one pool.
    """
    alone = environ.get("JAX_PLATFORMS") == "cpu" or not any(
        importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))
    return alone and "glibc.malloc" not in environ.get("GLIBC_TUNABLES", "") and not any(
        name.startswith("MALLOC_") for name in environ)


def keep_memory() -> bool:
    """Lets this process keep what it frees, up to the most that it ever used.

    To be called before other threads begin, as they get pools of their own: before JAX's first
    operation.

    Returns:
      Whether it does: False where the C library is not glibc, where there may be an accelerator, and
      where the environment says how to allocate.
    """
    if platform.libc_ver()[0] != "glibc" or not keeps_to_itself():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(option, value) for option, value in ((_POOLS, 1), (_APART, 0), (_KEPT, -1)))
