"""`repose runs`."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import time
from collections.abc import Sequence

import tyro

from repose_jax.cli.terminal import parse, say

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 16


@dataclasses.dataclass(frozen=True)
class RunsOptions:
    """List the runs in a folder: their state, images, losses and age.

    Attributes:
      folder: where they lie, at any depth up to four folders.
    """

    folder: tyro.conf.Positional[pathlib.Path] = pathlib.Path("runs")


def runs(argv: Sequence[str]) -> int:
    """List the runs in a folder: their state, images, losses and age."""
    options = parse(RunsOptions, "runs", argv)
    from repose_jax.training.run_list import runs_in

    found = runs_in(options.folder)
    if not found:
        say(f"no runs in {options.folder}")
        return 0
    now = time.time()
    table = [("run", "state", "images", "loss", "held out", "images/s", "age", "loss so far")] + [
        (str(run.folder.relative_to(options.folder)), run.state,
         f"{run.images:,}" + (f" of {run.total_images:,}" if run.total_images else ""),
         f"{run.losses[-1]:.4g}" if run.losses else "-",
         "-" if run.best is None else f"{run.best:.4g}",
         "-" if run.images_per_s is None else f"{run.images_per_s:.4g}",
         age(now - run.seen), curve(run.losses)) for run in found]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def age(seconds: float) -> str:
    """A time in its largest whole unit."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def curve(values: Sequence[float]) -> str:
    """A line of up to 16 bars, each the mean of a stretch, from the lowest to the highest."""
    count = min(len(values), _WIDTH)
    means = []
    for i in range(count):
        part = [v for v in values[i * len(values) // count:(i + 1) * len(values) // count]
                if math.isfinite(v)]
        if part:
            means.append(sum(part) / len(part))
    if not means:
        return ""
    low, span = min(means), (max(means) - min(means)) or 1.0
    return "".join(_BARS[round((v - low) / span * (len(_BARS) - 1))] for v in means)
