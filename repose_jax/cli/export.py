"""`repose export`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated, Literal

import tyro

from repose_jax.cli.terminal import parse, say
from repose_jax.common.ranges import Finite, Fraction, Natural
from repose_jax.diffusion.time_grid import TimeGrid
from repose_jax.models.sample_config import SamplerName
from repose_jax.models.sample_overrides import GuidanceOptions, given


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Write a model as a StableHLO program that JAX runs without this package.

    `examples/run_exported.py` runs it. The settings are the model's own where they are not given.

    Attributes:
      model: a bundled model, a model file, or the folder of a training run.
      output: the file to write.
      platforms: what it is to run on; none of them need be here.
      steps: evaluations of the denoiser.
      start: share of noise to begin with.
      temperature: what that noise is multiplied by, where a painted picture is refined.
      keep: how much more of the aligned source the painted picture keeps: the odds times e^KEEP.
      head: how much of the head is the source's own, where both poses show the same face.
      sampler: ddim, ddpm, dpm++2m, unipc or heun.
      times: how the evaluations are spaced.
      source_weight: weight of the source in classifier-free guidance.
      guidance: gradient guidance.
    """

    model: tyro.conf.Positional[str]
    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=["-o"])]
    platforms: tuple[Literal["cpu", "cuda", "rocm", "tpu"], ...] = ("cpu",)
    steps: Natural | None = None
    start: Fraction | None = None
    temperature: Fraction | None = None
    keep: Finite | None = None
    head: Fraction | None = None
    sampler: SamplerName | None = None
    times: TimeGrid | None = None
    source_weight: Finite | None = None
    guidance: GuidanceOptions = GuidanceOptions()


def export(argv: Sequence[str]) -> int:
    """Write a model as a program that JAX runs without this package."""
    options = parse(ExportOptions, "export", argv)
    from repose_jax.common.files import check_writable, write_content
    from repose_jax.inference.export import export_model
    from repose_jax.inference.pipeline import PoseTransfer

    check_writable(options.output.parent)
    transfer = PoseTransfer.load(options.model)
    config = options.guidance.over(
        transfer.sample,
        **given(options, "steps", "start", "temperature", "keep", "head", "sampler", "times",
                "source_weight"))
    content = export_model(transfer, config, pathlib.Path(options.model).name, options.platforms)
    write_content(options.output, content)
    say(f"wrote {options.output}, {len(content) / 1e6:.1f} MB, for {', '.join(options.platforms)}")
    return 0
