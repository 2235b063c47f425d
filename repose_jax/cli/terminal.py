"""What every command shares: it prints, parses options and keeps compiled programs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import tyro


def say(text: str) -> None:
    """A line on standard output, at once."""
    print(text, flush=True)


def parse(kind: Any, name: str, argv: Sequence[str], **extra) -> Any:
    """The options of a command, a dataclass; wrong ones end the program with code 2."""
    return tyro.cli(kind, prog=f"repose {name}", args=list(argv), **extra)


def use_compilation_cache() -> None:
    """Keeps compiled programs in a per-user folder, so that the second start is quick."""
    import jax

    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or os.path.join(base, "repose_jax", "xla")
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
