"""`repose data build` and `repose data check`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import tyro

from repose_jax.cli.terminal import parse, say

Name = tyro.conf.Positional[str]


@dataclasses.dataclass(frozen=True)
class BuildOptions:
    """Write a dataset as array_record files, pictures decoded and resized once.

    Attributes:
      name: "people" or "market1501".
      output: folder that gets NAME/CONFIG/VERSION.
      source: folder of the Market-1501 pictures.
      identities: people to render for training; only for "people".
      views: pictures of each; only for "people".
    """

    name: Name
    output: pathlib.Path
    source: pathlib.Path | None = None
    identities: int | None = None
    views: int | None = None


def data_build(argv: Sequence[str]) -> int:
    """Write a dataset as array_record files."""
    options = parse(BuildOptions, "data build", argv)
    from repose_jax.data.build import build

    extra = {name: value for name in ("identities", "views")
             if (value := getattr(options, name)) is not None}
    path = build(options.name, options.output, source=options.source, progress=True, **extra)
    say(f"wrote {path}")
    return 0


@dataclasses.dataclass(frozen=True)
class CheckOptions:
    """Look through a dataset's folder for what would hurt training.

    Attributes:
      folder: in a layout of DeepFashion, Market-1501 or Human-Art, a plain one, or a built dataset.
      sample: decode only so many pictures of each split, evenly spread, and read the headers of the
        others; without it all are decoded.
    """

    folder: tyro.conf.Positional[pathlib.Path]
    sample: int | None = None


def data_check(argv: Sequence[str]) -> int:
    """Tell what a folder holds and what is wrong with it; exit code 1 if training would suffer."""
    options = parse(CheckOptions, "data check", argv)
    from repose_jax.data.check import check_dataset

    report = check_dataset(options.folder, sample=options.sample)
    say(f"{options.folder}: {report.layout}")
    for line in report.table():
        say(line)
    for finding in report.findings:
        say(str(finding) + ("" if finding.hurts else " (harmless)"))
    count = len(report.findings)
    say(f"{options.folder}: {count or 'no'} finding{'s' * (count != 1)}")
    return 1 if report.hurts else 0
