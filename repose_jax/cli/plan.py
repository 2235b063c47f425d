"""`repose plan`."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Annotated, Any, Generic

import tyro

from repose_jax.cli.terminal import parse, say
from repose_jax.cli.train import Config, preset_of
from repose_jax.common.errors import UserError
from repose_jax.common.ranges import Range, Weight

_GPUS = ("a100", "h100", "h200")
_HINT = "give one such as v5e:16x16, v5p:4x4x4 or h100:8"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanOptions(Generic[Config]):
    """Tell whether a preset fits on devices that are not there, and how long it takes.

    Attributes:
      config: the preset, of the package or of a file of yours.
      topology: v4:2x2x2, v5e:16x16, v5p:4x4x4, v6e:8x8 (needs the extra "tpu"), or a100:8, h100:8,
        h200:8, which are compiled for as many processors: their memory is an estimate.
      estimate: do not compile, which for large models takes many minutes: state and operations are as
        they will be, the rest of the memory is what differentiation keeps.
      utilisation: share of the peak operations that training reaches.
      price: of a device for an hour; 0 says no cost.
    """

    config: Annotated[Config, tyro.conf.arg(name="")]
    topology: str
    estimate: bool = False
    utilisation: Annotated[float, Range(0, 1, open_low=True)] = 0.35
    price: Weight = 0.0


def plan(argv: Sequence[str]) -> int:
    """Tell whether a preset fits on devices that are not there, and how long it takes."""
    preset, rest = preset_of(argv, "plan")
    options = parse(PlanOptions[type(preset)],  # type: ignore[misc]  # known only now
                    f"plan {argv[0]}", rest,
                    default=PlanOptions(config=preset, topology=tyro.MISSING))
    kind, _, shape = options.topology.partition(":")
    if options.estimate:
        import jax

        count = _count(options.topology, kind, shape)
        jax.config.update("jax_platforms", "cpu")
    else:
        devices = _devices(options.topology, kind, shape)
    from repose_jax.tasks.plan import estimate, plan as planned
    from repose_jax.training.chips import CHIPS

    task, chip = options.config.task(), CHIPS[kind]
    found = estimate(task, count) if options.estimate else planned(task, devices)
    loop = task.loop
    if options.estimate:
        say("an estimate, nothing was compiled")
    say(f"{found.parameters:,} parameters, batch {loop.batch_size} on {found.devices} devices, "
        f"{loop.parallel}")
    say(f"memory a device: {found.peak / 2**30:.2f} GiB of {chip.memory / 2**30:.0f}: " + ", ".join(
        f"{name} {size / 2**30:.2f}" for name, size in found.memory.items()))
    say("collectives a step: " + (", ".join(
        f"{count} {name} of {size / 2**20:,.1f} MiB"
        for name, (count, size) in sorted(found.collectives.items())) or "none"))
    seconds = found.step_s(chip, options.utilisation)
    hours = loop.total_images / loop.batch_size * seconds / 3600
    say(f"operations a device and step: {found.flops / 1e12:.3f} T; at {options.utilisation:.0%} of "
        f"the peak {seconds * 1e3:.1f} ms a step, {loop.batch_size / seconds:,.0f} images/s, "
        f"{hours / 24:.2f} days for {loop.total_images:,} images" + (
            f", cost {hours * found.devices * options.price:,.0f}" if options.price else ""))
    if found.peak > 0.95 * chip.memory:
        say("it does not fit: try --model.network.unet.remat, --model.network.unet.bfloat16, "
            "--train.accumulate 2, --train.parallel fsdp, or a smaller --train.batch-size")
    return 0


def _count(topology: str, kind: str, shape: str) -> int:
    """How many devices a topology has.

    Raises:
      UserError: there is no such topology.
    """
    sides = shape.split("x")
    gpus = kind in _GPUS and len(sides) == 1
    tpus = kind in ("v4", "v5e", "v5p", "v6e") and len(sides) in (2, 3)
    if not (gpus or tpus) or not all(side.isdecimal() for side in sides) or not (
            0 < math.prod(map(int, sides)) <= (512 if gpus else 2**14)):
        raise UserError("topology", f"is {topology!r:.60}", _HINT)
    return math.prod(map(int, sides))


def _devices(topology: str, kind: str, shape: str) -> Sequence[Any]:
    """The devices of a topology.

    Raises:
      UserError: there is no such topology, or what compiles for it is not installed.
    """
    count = _count(topology, kind, shape)
    if kind in _GPUS:
        flags = f"--xla_force_host_platform_device_count={count}"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
        import jax

        return jax.devices("cpu")[:count]
    # This need not be a machine of the cloud, and its own devices are not what is asked for: who only
    # compiles may do so beside others.
    os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "JAX_PLATFORMS": "cpu",
                   "ALLOW_MULTIPLE_LIBTPU_LOAD": "1", "TPU_WORKER_HOSTNAMES": "localhost"}
    from jax.experimental import topologies

    try:
        return topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    except Exception as error:  # of several kinds, as the library's own are
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError("topology", f"{topology!r:.60} cannot be compiled for ({first:.160})",
                        f"pip install 'repose_jax[tpu]', and {_HINT}") from None
