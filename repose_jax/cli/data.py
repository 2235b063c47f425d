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
      folder: in the Market-1501 layout, a plain one, or a built dataset.
    """

    folder: tyro.conf.Positional[pathlib.Path]


def data_check(argv: Sequence[str]) -> int:
    """Tell what is wrong with a dataset's folder; exit code 1 if anything is."""
    options = parse(CheckOptions, "data check", argv)
    from repose_jax.data.check import check_folder

    findings = check_folder(options.folder)
    for finding in findings:
        say(str(finding))
    say(f"{options.folder}: {len(findings) or 'no'} finding{'s' * (len(findings) != 1)}")
    return 1 if findings else 0
