"""Whether a task fits on devices that are not there, and how long it takes: its step is compiled for
them ahead of time, and the compiled program is read."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.tasks.task import Task, as_loss_fn
from repose_jax.training.chips import Chip, counted_once
from repose_jax.training.parallel import (
    StepFactory, check_batch_size, data_parallel, fsdp_spec, operations)
from repose_jax.training.state import TrainState, create_state, make_optimizer
from repose_jax.training.step import LossFn, make_train_step, sample_keys


_BITS = {"pred": 8, "bf16": 16}
_COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "collective-permute", "all-to-all")
_CALL = re.compile(rf"= (.*?) ({'|'.join(_COLLECTIVES)})(-start)?\(")
# What begins one of these gives the operands beside the results, and perhaps counters.
_WITH_OPERANDS = ("all-gather", "collective-permute")
_ARRAY = re.compile(r"\b([a-z]+[0-9]*)\[([0-9,]*)\]")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a step needs, a device.

    Attributes:
      devices: how many there are.
      parameters: numbers that are trained.
      memory: bytes by what they are for: "state", "frozen and batch", and of a compiled step
        "temporary" and "program", of an estimate "kept for the backward pass"; their sum is the peak.
      flops: operations a step.
      collectives: kind -> (how many a step, bytes of their results).
    """

    devices: int
    parameters: int
    memory: Mapping[str, int]
    flops: float
    collectives: Mapping[str, tuple[int, int]]

    @property
    def peak(self) -> int:
        """Bytes a device needs."""
        return sum(self.memory.values())

    def step_s(self, chip: Chip, utilisation: float) -> float:
        """Seconds a step where so large a share of the peak operations is reached."""
        return self.flops / (chip.flops * utilisation)


@dataclasses.dataclass(frozen=True)
class _Shapes:
    """A task's step and the shapes of what it is given."""

    loss: LossFn
    factory: StepFactory
    state: TrainState
    batch: dict[str, jax.ShapeDtypeStruct]
    key: jax.ShapeDtypeStruct
    frozen: Any

    @classmethod
    def of(cls, task: Task) -> _Shapes:
        """UserError where the task does not say what a batch is."""
        batch = task.batch_shapes()
        if batch is None:
            raise UserError("plan", f"does not know a batch of this kind of training, {task.kind}",
                            "plan a diffusion model, or give the task a method batch_shapes")
        optimizer = make_optimizer(task.loop.schedule(), task.loop.batch_size)
        loss = as_loss_fn(task.loss)
        return cls(
            loss, functools.partial(make_train_step, loss, optimizer, ema_decay=task.loop.ema_decay,
                                    accumulate=task.loop.accumulate),
            jax.eval_shape(lambda: create_state(task.init(jax.random.key(0)), optimizer)), batch,
            jax.eval_shape(lambda: jax.random.key(0)), task.frozen_shapes())

    @property
    def parameters(self) -> int:
        """Numbers that are trained."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.state.params))


def plan(task: Task, devices: Sequence[jax.Device]) -> Plan:
    """Compiles a task's step for devices, which need not be there.

    Raises:
      UserError: the batch cannot be split over them, or the task does not say what a batch is.
    """
    shapes = _Shapes.of(task)
    parallel = data_parallel(shapes.factory, task.loop.parallel, devices=devices)
    parallel.check_batch_size(task.loop.batch_size, task.loop.accumulate)
    compiled = parallel.lower(shapes.state, shapes.batch, shapes.key, shapes.frozen).compile()
    memory, program = compiled.memory_analysis(), compiled.as_text()
    assert memory is not None and program is not None  # TPUs and CPUs tell
    return Plan(
        len(devices), shapes.parameters,
        {"state": memory.alias_size_in_bytes,
         "frozen and batch": memory.argument_size_in_bytes - memory.alias_size_in_bytes,
         "temporary": memory.temp_size_in_bytes, "program": memory.generated_code_size_in_bytes},
        counted_once(operations(compiled) or math.nan, task.loop.accumulate), collectives(program))


def estimate(task: Task, devices: int) -> Plan:
    """What can be said of a task's step on so many devices without compiling it.

    State and batch are as they will be; operations are counted before the compiler's changes. The
    activations are all that differentiation keeps, which a compiler undercuts where it fuses, and what
    it needs in between comes on top. Of collectives the reduction of the gradients is known, where the
    state is not split.

    Raises:
      UserError: as `plan`.
    """
    shapes, loop = _Shapes.of(task), task.loop
    check_batch_size(loop.batch_size, devices, loop.accumulate)
    rows = loop.batch_size // devices

    def some(count: int) -> dict[str, jax.ShapeDtypeStruct]:
        return {name: jax.ShapeDtypeStruct((count, *leaf.shape[1:]), leaf.dtype)
                for name, leaf in shapes.batch.items()}

    def backward(params, batch, key, frozen):
        return jax.vjp(lambda params: shapes.loss(
            params, batch, sample_keys(key, batch), frozen), params, has_aux=True)[1]

    lowered = jax.jit(shapes.factory(axis_name=None)).lower(
        shapes.state, some(rows), shapes.key, shapes.frozen)
    # What is kept of the arguments themselves stands in state and batch already.
    traced = jax.make_jaxpr(backward)(
        shapes.state.params, some(rows // loop.accumulate), shapes.key, shapes.frozen).jaxpr
    given = set(traced.invars)
    kept = [value.aval for value in traced.outvars
            if not hasattr(value, "val") and value not in given]  # literals have a value
    split = devices if loop.parallel == "fsdp" else 1
    state = sum(_bytes(leaf) // (split if any(fsdp_spec(
        leaf.shape, leaf.dtype.itemsize, split)) else 1) for leaf in jax.tree.leaves(shapes.state))
    weights = sum(map(_bytes, jax.tree.leaves(shapes.state.params)))
    return Plan(
        devices, shapes.parameters,
        {"state": state,
         "frozen and batch": sum(map(_bytes, jax.tree.leaves((some(rows), shapes.frozen)))),
         "kept for the backward pass": sum(map(_bytes, kept))},
        counted_once(operations(lowered) or math.nan, loop.accumulate),
        {} if loop.parallel == "fsdp" else {"all-reduce": (1, weights)})


def _bytes(leaf: Any) -> int:
    return leaf.size * (leaf.dtype.itemsize if hasattr(leaf.dtype, "itemsize") else 8)


def collectives(program: str) -> dict[str, tuple[int, int]]:
    """Kind -> (how many, bytes of their results) of the collectives in a compiled program's text."""
    found: dict[str, tuple[int, int]] = {}
    for given, kind, start in _CALL.findall(program):
        arrays = _ARRAY.findall(given)
        if start and kind in _WITH_OPERANDS:
            arrays = [array for array in arrays if array != ("u32", "")]
            arrays = arrays[len(arrays) // 2:]
        size = sum(_bits(name) * int(np.prod([int(n) for n in dims.split(",") if n])) // 8
                   for name, dims in arrays)
        count, total = found.get(kind, (0, 0))
        found[kind] = count + 1, total + size
    return found


def _bits(name: str) -> int:
    return _BITS.get(name) or int(re.sub(r"[^0-9].*", "", re.sub(r"^[a-z]+", "", name)) or 0)
