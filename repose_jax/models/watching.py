"""Watching pictures come about, from inside a compiled program.

The program calls back with a number, not with the function that is to be told: it is compiled once,
whoever watches.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.experimental import io_callback
from jaxtyping import Array, Bool, Int, UInt8

Watch = Callable[[int, UInt8[np.ndarray, "batch h w 3"]], bool]
"""Gets the number of steps that are done, from 1, and what the pictures will be as far as is known;
says whether to go on."""

_watching: dict[int, Watch] = {}
_numbers = itertools.count()


@contextlib.contextmanager
def watching(watch: Watch) -> Iterator[int]:
    """The number by which a program calls `watch`; its exception is raised at the end."""
    number, raised = next(_numbers), []

    def guarded(step: int, pictures: UInt8[np.ndarray, "batch h w 3"]) -> bool:
        try:
            return watch(step, pictures)
        except Exception as error:  # noqa: BLE001  # through the program it would lose its type
            raised.append(error)
            return False

    _watching[number] = guarded
    try:
        yield number
    finally:
        del _watching[number]
    if raised:
        raise raised[0]


def told(number: Int[Array, ""], step: Int[Array, ""],
         pictures: UInt8[Array, "batch h w 3"]) -> Bool[Array, ""]:
    """Inside a program: tells who watches under a number, and whether to go on."""
    return io_callback(_tell, jax.ShapeDtypeStruct((), bool), number, step, pictures)


def _tell(number, step, pictures) -> np.ndarray:
    return np.array(_watching[int(number)](int(step), np.asarray(pictures)))
