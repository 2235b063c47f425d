"""`repose plan`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Annotated, Any, Generic

import tyro

from repose_jax.cli.terminal import parse, say
from repose_jax.cli.train import Config, preset_of
from repose_jax.common.errors import UserError
from repose_jax.common.ranges import Range, Weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlanOptions(Generic[Config]):
    """Tell whether a preset fits on devices that are not there, and how long it takes.

    Attributes:
      config: the preset, of the package or of a file of yours.
      topology: v4:2x2x2, v5e:16x16, v5p:4x4x4, v6e:8x8 (needs the extra "tpu"), or a100:8, h100:8,
        h200:8, which are compiled for as many processors: their memory is an estimate.
      utilisation: share of the peak operations that training reaches.
      price: of a device for an hour; 0 says no cost.
    """

    config: Annotated[Config, tyro.conf.arg(name="")]
    topology: str
    utilisation: Annotated[float, Range(0, 1, open_low=True)] = 0.35
    price: Weight = 0.0


def plan(argv: Sequence[str]) -> int:
    """Tell whether a preset fits on devices that are not there, and how long it takes."""
    preset, rest = preset_of(argv, "plan")
    options = parse(PlanOptions[type(preset)],  # type: ignore[misc]  # known only now
                    f"plan {argv[0]}", rest,
                    default=PlanOptions(config=preset, topology=tyro.MISSING))
    kind, _, shape = options.topology.partition(":")
    devices = _devices(options.topology, kind, shape)
    from repose_jax.tasks.plan import CHIPS, plan as planned

    task, chip = options.config.task(), CHIPS[kind]
    found = planned(task, devices)
    loop = task.loop
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
    if loop.accumulate > 1:
        say("the operations of accumulated parts are counted once: the time is longer")
    if found.peak > 0.95 * chip.memory:
        say("it does not fit: try --model.network.unet.remat, --model.network.unet.bfloat16, "
            "--train.accumulate 2, --train.parallel fsdp, or a smaller --train.batch-size")
    return 0


def _devices(topology: str, kind: str, shape: str) -> Sequence[Any]:
    """The devices of a topology.

    Raises:
      UserError: there is no such topology, or what compiles for it is not installed.
    """
    hint = "give one such as v5e:16x16, v5p:4x4x4 or h100:8"
    if kind in ("a100", "h100", "h200"):
        if not shape.isdecimal() or not 0 < int(shape) <= 512:
            raise UserError("topology", f"is {topology!r:.60}", hint)
        flags = f"--xla_force_host_platform_device_count={int(shape)}"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
        import jax

        return jax.devices("cpu")[:int(shape)]
    if kind not in ("v4", "v5e", "v5p", "v6e"):
        raise UserError("topology", f"is {topology!r:.60}", hint)
    # This need not be a machine of the cloud, and its own devices are not what is asked for.
    os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "JAX_PLATFORMS": "cpu"}
    from jax.experimental import topologies

    try:
        return topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    except Exception as error:  # of several kinds, as the library's own are
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError("topology", f"{topology!r:.60} cannot be compiled for ({first:.160})",
                        f"pip install 'repose_jax[tpu]', and {hint}") from None
