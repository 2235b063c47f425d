"""`repose ablate`."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import pathlib
from collections.abc import Sequence
from typing import Literal

import tyro

from repose_jax.cli.presets import load_preset
from repose_jax.cli.terminal import Terminal, parse, say, use_compilation_cache
from repose_jax.common.errors import UserError
from repose_jax.common.fields import given
from repose_jax.common.ranges import Positive, Seed

PACKAGE, ATTRIBUTE = "repose_jax.experiments.ablations", "ABLATION"


@dataclasses.dataclass(frozen=True)
class AblateOptions:
    """Compare settings and models on the same held-out pairs and noise; goes on where it stopped.

    Attributes:
      preset: which question; its file in experiments/ablations says what is compared.
      data: "people", or a folder with a test split.
      split: test; or train, to choose settings without looking at the people that score them.
      output: folder for measurements, tables, plots and the page.
      model: in place of the preset's model.
      pairs: how many.
      seeds: of the noise.
      grid: in place of the preset's cells: NAME=VALUE,VALUE for each axis, NAME a setting such as
        steps, guidance.target or model; lists as JSON. The first cell is the one compared with.
      judge: pose estimator that reads the results.
      field: pose interaction field that judges them.
      batch_size: pictures sampled together.
    """

    preset: tyro.conf.Positional[str]
    data: str
    output: pathlib.Path
    model: str | None = None
    split: Literal["test", "train"] = "test"
    pairs: Positive | None = None
    seeds: tuple[Seed, ...] | None = None
    grid: tuple[str, ...] = ()
    judge: str | None = None
    field: str | None = None
    batch_size: Positive | None = None


def ablate(argv: Sequence[str]) -> int:
    """Compare settings and models on the same pairs and noise."""
    options = parse(AblateOptions, "ablate", argv)
    use_compilation_cache()
    from repose_jax.common.files import check_writable
    from repose_jax.studies.ablation import run
    from repose_jax.studies.ablation_report import markdown, rows, write_report

    preset = load_preset(options.preset, PACKAGE, ATTRIBUTE)
    changes = given(options, "model", "split", "pairs", "seeds", "judge", "field", "batch_size")
    if options.grid:
        changes["cells"] = parse_grid(options.grid)
    ablation = dataclasses.replace(
        preset, data=dataclasses.replace(preset.data, path=options.data), **changes)
    if not ablation.seeds:
        raise UserError("seeds", "are none", "give one or more")
    check_writable(options.output)
    with contextlib.closing(Terminal()) as events:
        result = run(ablation, options.output, events=events)
    page = write_report(result, options.output, "repose ablate " + " ".join(argv))
    say(markdown(result, rows(result)))
    say(f"wrote {page}")
    return 0


def parse_grid(axes: Sequence[str]) -> tuple[dict, ...]:
    """Cells of NAME=VALUE,VALUE words.

    Raises:
      UserError: for a word that is none.
    """
    parsed = {}
    for axis in axes:
        name, equals, text = axis.partition("=")
        if not equals or not name or not text:
            raise UserError(axis, "is no axis of a grid", "give NAME=VALUE,VALUE")
        try:
            values = json.loads(f"[{text}]")
        except json.JSONDecodeError:
            values = text.split(",")
        parsed[name.replace("-", "_") if name != "model" else name] = values
    return tuple(dict(zip(parsed, values)) for values in itertools.product(*parsed.values()))
