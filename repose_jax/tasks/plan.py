"""Whether a task fits on devices that are not there, and how long it takes: its step is compiled for
them ahead of time, and the compiled program is read."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.tasks.task import Task
from repose_jax.training.parallel import data_parallel
from repose_jax.training.state import create_state, make_optimizer
from repose_jax.training.step import make_train_step


@dataclasses.dataclass(frozen=True)
class Chip:
    """A kind of device, as its maker states it.

    Attributes:
      flops: peak of bfloat16 multiplications and additions a second.
      memory: bytes.
    """

    flops: float
    memory: float


CHIPS = {"v4": Chip(275e12, 32 * 2**30), "v5e": Chip(197e12, 16 * 2**30),
         "v5p": Chip(459e12, 95 * 2**30), "v6e": Chip(918e12, 32 * 2**30),
         "a100": Chip(312e12, 80e9), "h100": Chip(989e12, 80e9), "h200": Chip(989e12, 141e9)}
_BITS = {"pred": 8, "bf16": 16}
_COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "collective-permute", "all-to-all")
_CALL = re.compile(rf"= (.*?) ({'|'.join(_COLLECTIVES)})(?:-start)?\(")
_ARRAY = re.compile(r"\b([a-z]+[0-9]*)\[([0-9,]*)\]")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the compiled step says, a device.

    Attributes:
      devices: how many there are.
      parameters: numbers that are trained.
      memory: bytes by what they are for: "state", "frozen and batch", "temporary", "program"; their
        sum is the peak.
      flops: operations a step; those inside loops counted once.
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


def plan(task: Task, devices: Sequence[jax.Device]) -> Plan:
    """Compiles a task's step for devices, which need not be there.

    Raises:
      UserError: the batch cannot be split over them, or the task does not say what a batch is.
    """
    shapes = task.batch_shapes()
    if shapes is None:
        raise UserError("plan", f"does not know a batch of this kind of training, {task.kind}",
                        "plan a diffusion model, or give the task a method batch_shapes")
    optimizer = make_optimizer(task.loop.schedule(), task.loop.batch_size)

    def loss(params, batch, keys, frozen=None):
        return task.loss(params, frozen, batch, keys)

    parallel = data_parallel(
        functools.partial(make_train_step, loss, optimizer, ema_decay=task.loop.ema_decay,
                          accumulate=task.loop.accumulate), task.loop.parallel, devices=devices)
    parallel.check_batch_size(task.loop.batch_size, task.loop.accumulate)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(lambda: create_state(task.init(jax.random.key(0)), optimizer))
    compiled = parallel.lower(state, shapes, key, jax.eval_shape(lambda: task.frozen)).compile()
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
    cost = cost[0] if isinstance(cost, list) else cost
    program = compiled.as_text()
    assert memory is not None and cost is not None and program is not None  # TPUs and CPUs tell
    return Plan(
        len(devices), sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        {"state": memory.alias_size_in_bytes,
         "frozen and batch": memory.argument_size_in_bytes - memory.alias_size_in_bytes,
         "temporary": memory.temp_size_in_bytes, "program": memory.generated_code_size_in_bytes},
        float(cost.get("flops", math.nan)), collectives(program))


def collectives(program: str) -> dict[str, tuple[int, int]]:
    """Kind -> (how many, bytes of their results) of the collectives in a compiled program's text."""
    found: dict[str, tuple[int, int]] = {}
    for results, kind in _CALL.findall(program):
        size = sum(_bits(name) * int(np.prod([int(n) for n in dims.split(",") if n])) // 8
                   for name, dims in _ARRAY.findall(results))
        count, total = found.get(kind, (0, 0))
        found[kind] = count + 1, total + size
    return found


def _bits(name: str) -> int:
    return _BITS.get(name) or int(re.sub(r"[^0-9].*", "", re.sub(r"^[a-z]+", "", name)) or 0)
