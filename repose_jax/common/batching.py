"""Many examples through compiled functions: in parts of one size, each split over the devices.

One size, so that a function compiles once; the last part is filled up, and what comes of the fillers
is dropped, so that neither the size nor the number of devices changes a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

_AXIS = "batch"


def part_size(at_once: int) -> int:
    """`at_once`, raised to a multiple of the number of local devices; ValueError for none."""
    if at_once < 1:
        raise ValueError(f"parts of {at_once}")
    devices = jax.local_device_count()
    return -(-at_once // devices) * devices


def parts(count: int, at_once: int) -> Iterator[tuple[Int[np.ndarray, "size"], int]]:
    """The numbers of the examples of each part, and how many of them count.

    Args:
      count: examples in all.
      at_once: examples a part, see `part_size`. The last part is filled up with its own first
        example.

    Raises:
      ValueError: for parts of none.
    """
    size = part_size(at_once)
    for start in range(0, count, size):
        some = np.arange(start, min(start + size, count))
        yield np.concatenate([some, np.full(size - len(some), start)]), len(some)


def split(batch: Any) -> Any:
    """Arrays on the local devices, split evenly along their first axis.

    A function that is jitted then runs on all of them. What cannot be split evenly is left as it is.
    """
    mesh = _devices()
    sharding = NamedSharding(mesh, PartitionSpec(_AXIS))
    return jax.tree.map(
        lambda x: x if len(x) % mesh.size else jax.device_put(x, sharding), batch)


def copied(tree: Any) -> Any:
    """Arrays on every local device, for what `split` examples are used with."""
    return jax.device_put(tree, NamedSharding(_devices(), PartitionSpec()))


def in_parts(
    function: Callable[[Any], Any], read: Callable[[Int[np.ndarray, "size"]], np.ndarray],
    count: int, at_once: int,
) -> np.ndarray:
    """What a function gives for each of many pictures, [count, ...].

    Args:
      function: from [size, ...] to [size, ...]; a picture must not touch its neighbours.
      read: gives the pictures of some numbers; `array.__getitem__` will do.
      count: pictures in all, 1 or more.
      at_once: see `parts`.
    """
    return np.concatenate([np.asarray(function(split(read(some))))[:real]
                           for some, real in parts(count, at_once)])


def _devices() -> Mesh:
    return Mesh(np.array(jax.local_devices()), (_AXIS,))
