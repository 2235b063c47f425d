"""Scripts in processes of their own, which see as many devices as they are told."""

from __future__ import annotations

import os
import subprocess
import sys


def flags_for(count: int) -> str:
    """XLA's flags under which a process sees so many devices, and compiles as this one."""
    return f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}".strip()


def on_devices(count: int, script: str, *arguments: str, timeout: float = 600) -> str:
    """Runs a script that sees so many devices; returns what it prints, and fails where it fails."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=timeout,
        env=os.environ | {"XLA_FLAGS": flags_for(count), "JAX_PLATFORMS": "cpu"})
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
