"""`repose bench`."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import statistics
from collections.abc import Sequence

import tyro

from repose_jax.cli.presets import load_preset
from repose_jax.cli.terminal import parse, say
from repose_jax.cli.train import ATTRIBUTE, PACKAGE
from repose_jax.common.errors import UserError
from repose_jax.common.ranges import Positive


@dataclasses.dataclass(frozen=True)
class BenchOptions:
    """Measure what a preset costs here: times in turns, memory, operations, starts; one JSON.

    The network has fresh parameters, so nothing is said of quality. Other work on the machine falls on
    all measures alike, but it does make them slower: the file says the load. Ends with 1 where
    --compare finds something slower.

    Attributes:
      preset: of a diffusion model.
      output: the JSON to write.
      batch: pictures sampled at a time.
      steps: evaluations of the denoiser; each number is measured with each sampler.
      repeats: rounds of all measures.
      training: also measure the training step.
      start: also measure how long a fresh process takes to its first picture.
      only: parts of names: measure only what has one of them in its name; by default everything.
      compare: an earlier file: what became slower is said, where the quartiles do not overlap.
    """

    preset: tyro.conf.Positional[str]
    output: pathlib.Path
    batch: Positive = 1
    steps: tuple[Positive, ...] = (4,)
    repeats: Positive = 5
    training: bool = True
    start: bool = True
    only: tuple[str, ...] = ()
    compare: pathlib.Path | None = None


def bench(argv: Sequence[str]) -> int:
    """Measure what a preset costs on this machine."""
    options = parse(BenchOptions, "bench", argv)
    from repose_jax.common.files import check_writable, write_content
    from repose_jax.experiments.bench.result import compared, differences, read_result
    from repose_jax.experiments.bench.suite import Amount, measured
    from repose_jax.tasks.pose_transfer import ExperimentConfig

    config = load_preset(options.preset, PACKAGE, ATTRIBUTE)
    if not isinstance(config, ExperimentConfig):
        raise UserError(options.preset, "is no preset of a diffusion model",
                        "choose one that samples, such as tiny or base")
    for steps in options.steps:
        dataclasses.replace(config.sample, steps=steps).check(config.model)
    old = None if options.compare is None else read_result(options.compare)
    check_writable(options.output.parent)
    result = measured(options.preset, config, Amount(
        batch=options.batch, steps=options.steps, repeats=options.repeats,
        training=options.training, start=options.start, only=options.only))
    write_content(options.output, json.dumps(result, indent=1))
    for name, times in result["times_s"].items():
        processor = statistics.median(result["processor_s"][name])
        say(f"{statistics.median(times):10.4f} s, {processor:10.4f} s of processors  {name}")
    for name, spent in result["start_s"].items():
        say(f"{spent:10.4f} s  {name} start to the first picture")
    say(f"{result['peak_memory_mb']:8.0f} MB  peak memory")
    say(f"wrote {options.output}")
    if old is None:
        return 0
    for text in differences(old, result):
        say(f"note: {text}")
    changes = [change for change in compared(old, result) if change.verdict != "same"]
    for change in changes:
        say(f"{change.verdict}: {change.name}, {change.before:.4f} s before, {change.after:.4f} s now")
    if not changes:
        say("nothing became slower or faster by more than the spread")
    return int(any(change.verdict == "slower" for change in changes))
