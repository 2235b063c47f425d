"""The step on all devices, so that the loop need not know how many there are.

"pmap" (the default) copies the state to every device and splits the batch. "jit" does the same by
shardings, and "fsdp" also splits the large arrays of the state, for models that do not fit.

The devices may be those of several processes that have joined (`repose_jax.training.distributed`). Each
process then hands in its own rows of every batch, and all of them must take every step.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Key

from repose_jax.common.errors import UserError
from repose_jax.training.distributed import meet, refuse_unjoined
from repose_jax.training.state import TrainState
from repose_jax.training.step import Batch, Metrics, TrainStep

AXIS = "data"
FSDP_MIN_BYTES = 4 << 20
Mode = Literal["pmap", "jit", "fsdp"]


class StepFactory(Protocol):
    """`functools.partial(make_train_step, loss_fn, optimizer, ema_decay=...)` is one."""

    def __call__(self, *, axis_name: str | None) -> TrainStep: ...


class EvaluationFactory(Protocol):
    """`functools.partial(make_evaluation, loss_fn)` is one."""

    def __call__(self, *, axis_name: str | None) -> Callable[..., Metrics]: ...


class DataParallel:
    """A train step over a one-axis mesh of devices; made by `data_parallel`.

    Attributes:
      mode: "pmap", "jit" or "fsdp".
      mesh: the devices of all processes, along the axis "data".
      processes: that have devices in it.
      process: the number of this one, in the order of the devices.
    """

    def __init__(self, factory: StepFactory, mode: Mode, devices: Sequence[jax.Device],
                 fsdp_min_bytes: int):
        self.mode: Mode = mode
        self.mesh = Mesh(np.array(devices), (AXIS,))
        numbers = sorted({device.process_index for device in devices})
        self.processes = len(numbers)
        self.process = numbers.index(jax.process_index())
        self._fsdp_min_bytes = fsdp_min_bytes
        self._step = factory(axis_name=AXIS if mode == "pmap" else None)
        self._compiled: Any = None
        # What is handed to `jax.pmap` are a process's own arrays, to the others those of all.
        batch_mesh = self.mesh if mode != "pmap" else Mesh(np.array(
            [device for device in devices if device.process_index == jax.process_index()]), (AXIS,))
        self._batch_sharding = NamedSharding(batch_mesh, PartitionSpec(AXIS))

    def check_batch_size(self, batch_size: int, accumulate: int = 1) -> None:
        """Raises UserError if a batch cannot be split evenly, also into parts to accumulate."""
        check_batch_size(batch_size, self.mesh.size, accumulate)

    def rows(self, batch_size: int) -> slice:
        """Which rows of a batch of all devices this process hands in."""
        count = batch_size // self.processes
        return slice(self.process * count, (self.process + 1) * count)

    def init(self, make: Callable[..., Any], *args: Any) -> Any:
        """`make(*args)`, born where it will live: no device ever holds the whole of a split one."""
        shardings = self.shardings(jax.eval_shape(make, *args))
        return jax.jit(make, out_shardings=shardings)(*args)

    def put(self, tree: Any) -> Any:
        """A copy of a tree on the devices; the given arrays stay valid when a step donates it."""
        def place(leaf: Any, sharding: NamedSharding) -> Array:
            if self.processes == 1:
                return jax.device_put(leaf, sharding, may_alias=False)
            whole = np.asarray(leaf)
            return jax.make_array_from_callback(
                whole.shape, sharding, lambda index: np.array(whole[index], copy=True))
        return jax.tree.map(place, tree, self.shardings(tree))

    def get(self, tree: Any) -> Any:
        """A copy of a tree on the host, as numpy arrays; all processes must ask for it at once."""
        return jax.tree.map(lambda leaf: np.array(whole(leaf), copy=True), tree)

    def shared(self, tree: Any) -> Any:
        """The same arrays, as those of all processes, which is what is saved to disk.

        What `jax.pmap` gives back are copies that each process holds for itself.
        """
        if self.processes == 1 or self.mode != "pmap":
            return tree
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        return jax.tree.map(
            lambda leaf: jax.make_array_from_single_device_arrays(
                leaf.shape, everywhere, [shard.data for shard in leaf.addressable_shards]), tree)

    def step(self, state: TrainState, batch: Batch, key: Key[Array, ""], frozen: Any = None,
             limit: np.float32 | None = None) -> tuple[TrainState, Metrics]:
        """One update; `state` is donated, so only the returned one is valid.

        `batch` is the whole batch, or of several processes this one's rows of it; or what `put_batch`
        gave for it.
        `frozen` is what the loss uses and nothing moves, from `put`; None where there is none.
        `limit` is the highest loss with which the state moves.

        Raises:
          UserError: the batch cannot be split evenly.
        """
        given = state, self.put_batch(batch), self._key(key), frozen, limit
        if self._compiled is None:
            self._compiled = self._compile(state)
            if self.processes > 1:
                self._compiled.lower(*given).compile()  # which the call below finds done
                meet()
        return self._compiled(*given)

    def evaluator(self, factory: EvaluationFactory) -> Callable[..., Metrics]:
        """`evaluate(params, batch, key, frozen=None)` over the devices; batches as for `step`."""
        evaluate = factory(axis_name=AXIS if self.mode == "pmap" else None)
        if self.mode == "pmap":
            compiled = jax.pmap(evaluate, axis_name=AXIS, in_axes=(None, 0, None, None),
                                out_axes=None, devices=list(self.mesh.devices))
        else:
            compiled = jax.jit(evaluate, out_shardings=NamedSharding(self.mesh, PartitionSpec()))
        return lambda params, batch, key, frozen=None: compiled(
            params, self.put_batch(batch), self._key(key), frozen)

    def step_operations(self, state: Any, batch: Batch, key: Key[Array, ""], frozen: Any = None,
                        limit: Any = None) -> float | None:
        """Operations of a step on each device, as the compiler counts them; None where it does not.

        After a first step with such arguments nothing is compiled for it.
        """
        if self._compiled is None:
            self._compiled = self._compile(state)
        return operations(self._compiled.lower(
            state, self.put_batch(batch), self._key(key), frozen, limit).compile())

    def _key(self, key: Key[Array, ""]) -> Key[Array, ""]:
        if self.processes == 1 or self.mode == "pmap":
            return key
        return jax.random.wrap_key_data(
            self.put(np.asarray(jax.random.key_data(key))), impl=jax.random.key_impl(key))

    def lower(self, state: Any, batch: Any, key: Any, frozen: Any = None) -> jax.stages.Lowered:
        """The step for shapes, a whole batch's among them, to be compiled without running it."""
        if self.mode == "pmap":
            size = self.mesh.size
            batch = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(
                (size, leaf.shape[0] // size, *leaf.shape[1:]), leaf.dtype), batch)
        else:
            batch = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=self._batch_sharding), batch)
            state, frozen = (jax.tree.map(
                lambda leaf, sharding: jax.ShapeDtypeStruct(
                    leaf.shape, leaf.dtype, sharding=sharding), tree, self.shardings(tree))
                for tree in (state, frozen))
        return self._compile(state).lower(state, batch, key, frozen, None)

    def shardings(self, tree: Any) -> Any:
        """Where each array of a tree lives: on all devices, or split as `fsdp_spec` says."""
        def place(leaf: Any) -> NamedSharding:
            spec = PartitionSpec()
            if self.mode == "fsdp":
                spec = fsdp_spec(np.shape(leaf), np.dtype(leaf.dtype).itemsize, self.mesh.size,
                                 self._fsdp_min_bytes)
            return NamedSharding(self.mesh, spec)
        return jax.tree.map(place, tree)

    def _compile(self, state: TrainState) -> Any:
        if self.mode == "pmap":
            # Axis None for the state: one logical array, copied; what comes back is equal on all
            # devices and reading it needs no communication.
            return jax.pmap(
                self._step, axis_name=AXIS, in_axes=(None, 0, None, None, None),
                out_axes=(None, None),
                devices=list(self.mesh.devices), donate_argnums=0)
        return jax.jit(
            self._step, donate_argnums=0,
            out_shardings=(self.shardings(state), NamedSharding(self.mesh, PartitionSpec())))

    def put_batch(self, batch: Batch) -> Batch:
        """A batch, or this process's rows of it, on its way to the devices; returns at once.

        What this gave comes back as it is.

        Raises:
          UserError: the batch cannot be split evenly.
        """
        leaves = jax.tree.leaves(batch)
        if all(isinstance(leaf, jax.Array) and leaf.sharding == self._batch_sharding
               for leaf in leaves):
            return batch
        self.check_batch_size(leaves[0].shape[0] * self.processes)

        def place(leaf: Any) -> Array:
            leaf = np.asarray(leaf)
            if self.mode == "pmap":  # which maps over a first axis of the devices
                size = self.mesh.size // self.processes
                leaf = leaf.reshape(size, leaf.shape[0] // size, *leaf.shape[1:])
            return jax.make_array_from_process_local_data(self._batch_sharding, leaf)
        return jax.tree.map(place, batch)


def check_batch_size(batch_size: int, devices: int, accumulate: int = 1) -> None:
    """Raises UserError if a batch cannot be split evenly, also into parts to accumulate."""
    count = devices * accumulate
    if batch_size < 1 or batch_size % count:
        parts = f" times {accumulate} parts" if accumulate > 1 else ""
        raise UserError(f"batch size {batch_size}",
                        f"cannot be split evenly over {devices} devices{parts}",
                        f"use a multiple of {count}")


def operations(compiled: Any) -> float | None:
    """Operations of a compiled or lowered program on a device, loops' bodies once; None where that is
    not told."""
    cost = compiled.cost_analysis()
    cost = cost[0] if isinstance(cost, list) and cost else cost
    return float(cost["flops"]) if cost and cost.get("flops", 0) > 0 else None


def whole(leaf: Any) -> Any:
    """An array that this process can read all of; where it is split over several, gathered."""
    if getattr(leaf, "is_fully_addressable", True) or leaf.is_fully_replicated:
        return leaf
    return jax.jit(lambda x: x, out_shardings=NamedSharding(
        leaf.sharding.mesh, PartitionSpec()))(leaf)


def data_parallel(
    factory: StepFactory,
    mode: Mode = "pmap",
    *,
    devices: Sequence[jax.Device] | None = None,
    fsdp_min_bytes: int = FSDP_MIN_BYTES,
) -> DataParallel:
    """The step over `devices` (default: all, of all processes that have joined).

    Args:
      factory: makes the step for an axis name, e.g. `functools.partial(make_train_step, ...)`.
      mode: "pmap", "jit" or "fsdp".
      devices: the devices to use.
      fsdp_min_bytes: "fsdp" splits arrays of at least this size.

    Raises:
      ValueError: the mode is unknown.
      UserError: a launcher's variables tell of several processes, which have not joined.
    """
    if jax.process_count() == 1:
        refuse_unjoined(os.environ)
    if mode not in ("pmap", "jit", "fsdp"):
        raise ValueError(f"unknown parallel mode {mode!r}")
    return DataParallel(factory, mode, devices or jax.devices(), fsdp_min_bytes)


def fsdp_spec(
    shape: Sequence[int], itemsize: int, devices: int, min_bytes: int = FSDP_MIN_BYTES
) -> PartitionSpec:
    """How "fsdp" splits an array: its largest axis that the device count divides, if it is large.

    A small array is copied: splitting it would cost more in messages than it saves in memory.
    """
    if int(np.prod(shape)) * itemsize < min_bytes:
        return PartitionSpec()
    divisible = [axis for axis, size in enumerate(shape) if size and size % devices == 0]
    if not divisible:
        return PartitionSpec()
    largest = max(divisible, key=lambda axis: shape[axis])
    return PartitionSpec(*(AXIS if axis == largest else None for axis in range(len(shape))))
