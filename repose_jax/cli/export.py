"""`repose export`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated, Literal

import tyro

from repose_jax.cli.terminal import parse, say
from repose_jax.models.sample_overrides import SampleOptions


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Write a model as a StableHLO program that JAX runs without this package.

    `examples/run_exported.py` runs it. The settings are the model's own where they are not given.

    Attributes:
      model: a bundled model, a model file, or the folder of a training run.
      output: the file to write.
      platforms: what it is to run on; none of them need be here.
      sample: the sampler's settings.
    """

    model: tyro.conf.Positional[str]
    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=["-o"])]
    platforms: tuple[Literal["cpu", "cuda", "rocm", "tpu"], ...] = ("cpu",)
    sample: Annotated[SampleOptions, tyro.conf.arg(name="")] = SampleOptions()


def export(argv: Sequence[str]) -> int:
    """Write a model as a program that JAX runs without this package."""
    options = parse(ExportOptions, "export", argv)
    from repose_jax.common.files import check_writable, write_content
    from repose_jax.inference.export import export_model
    from repose_jax.inference.pipeline import PoseTransfer

    check_writable(options.output.parent)
    transfer = PoseTransfer.load(options.model)
    content = export_model(transfer, options.sample.over(transfer.sample),
                           pathlib.Path(options.model).name, options.platforms)
    write_content(options.output, content)
    say(f"wrote {options.output}, {len(content) / 1e6:.1f} MB, for {', '.join(options.platforms)}")
    return 0
