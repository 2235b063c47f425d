"""Freed memory is kept for what comes next."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from repose_jax.common import memory

# Each step needs some 128 MB. Faults of pages are counted after twenty steps, eight times over: the
# most that was ever used may still grow by one block, in one of those times.
STEPS = """
import resource
from repose_jax.common.memory import keep_memory
print(keep_memory() if {keep} else False)
import jax, jax.numpy as jnp
step = jax.jit(lambda x: jnp.cumsum(x[:, None] * x, axis=0).sum())
x = jnp.arange(4096.0)
for _ in range(20):
    step(x).block_until_ready()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        step(x).block_until_ready()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(min(faults() for _ in range(8)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_what_is_freed_is_not_asked_for_again():
    def faults(keep):
        done = subprocess.run(
            [sys.executable, "-c", STEPS.format(keep=keep)], capture_output=True, text=True, check=True,
            env={"JAX_PLATFORMS": "cpu", "PATH": "/usr/bin:/bin"})
        kept, count = done.stdout.split()
        assert kept == str(keep)
        return int(count)

    plain, kept = faults(False), faults(True)
    assert kept < 0.1 * plain


@pytest.mark.parametrize(("environ", "found", "alone"), [
    ({}, (), True), ({}, ("jax_plugins",), False), ({}, ("libtpu",), False),
    ({"JAX_PLATFORMS": "cpu"}, ("jax_plugins",), True),
    ({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}, (), False),
    ({"GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=512"}, (), True),
    ({"MALLOC_ARENA_MAX": "4"}, (), False)])
def test_accelerators_and_what_is_set_are_left_alone(monkeypatch, environ, found, alone):
    monkeypatch.setattr(memory.importlib.util, "find_spec", lambda name: name in found)
    assert memory.keeps_to_itself(environ) == alone


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("musl", "1.2"))
    assert memory.keep_memory() is False
