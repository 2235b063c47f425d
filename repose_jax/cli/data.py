"""`repose data build`, `repose data check` and `repose data show`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated, Literal

import tyro

from repose_jax.cli.terminal import parse, say
from repose_jax.common.ranges import Natural, Positive, Seed, Side, Workers
from repose_jax.data.augment.config import AugmentConfig

Name = tyro.conf.Positional[str]


@dataclasses.dataclass(frozen=True)
class BuildOptions:
    """Write a dataset as array_record files, pictures decoded and resized once.

    A build that was stopped goes on from what it had done at the same command. A dataset that is
    there with the same settings is left as it is, also where the source has changed since.

    Attributes:
      name: "people", "market1501", "deepfashion" or "human-art".
      output: folder that gets NAME/CONFIG/VERSION, as human_art/coco17/1.0.0.
      source: folder of the pictures; not for "people".
      size: height and width to bring the pictures to; without it 256 176 for "deepfashion", 128 64
        for "people", as given for "market1501"; those of "human-art" keep theirs.
      workers: processes that prepare pictures; 0 prepares them in this one.
      skip_broken: leave out rows and pictures that cannot be used and name them, rather than
        refuse the first; not for "people".
      identities: people to render for training; only for "people".
      views: pictures of each; only for "people".
    """

    name: Name
    output: pathlib.Path
    source: pathlib.Path | None = None
    size: tuple[Side, Side] | None = None
    workers: Workers = 0
    skip_broken: bool = False
    identities: Positive | None = None
    views: Positive | None = None


def data_build(argv: Sequence[str]) -> int:
    """Write a dataset as array_record files."""
    options = parse(BuildOptions, "data build", argv)
    from repose_jax.data.build import build
    from repose_jax.data.records.array_record import stored_notes
    from repose_jax.data.records.manifest import read_manifest

    extra = {name: value for name in ("size", "identities", "views")
             if (value := getattr(options, name)) is not None}
    there = {file.parent for file in options.output.expanduser().glob("*/*/*/dataset_info.json")}
    path = build(options.name, options.output, source=options.source,
                 skip_broken=options.skip_broken, workers=options.workers, progress=True, **extra)
    if path in there:
        if read_manifest(path) is None:
            say(f"note: {path} has no manifest, so with which settings it was built is not known")
        say(f"{path} is there already, nothing was built; delete it to build it anew")
        return 0
    for split, notes in stored_notes(path).items():
        for note in notes:
            say(f"note: {split}: {note}")
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
    sample: Natural | None = None


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


@dataclasses.dataclass(frozen=True)
class ShowOptions:
    """Draw random pairs of a dataset with their poses, as training sees them.

    Attributes:
      data: "people", or a folder in any layout that `repose data check` knows and that has pairs.
      output: the PNG.
      count: pairs to show.
      split: "train" or "test".
      augment: show each pair unchanged and under each random change by itself.
      seed: which pairs, and how they are changed.
      size: height and width to bring the pictures to; without it they keep theirs.
      augmentation: random changes to show; with --augment also how strong each of them is.
    """

    data: tyro.conf.Positional[str]
    output: pathlib.Path
    count: Positive = 16
    split: Literal["train", "test"] = "train"
    augment: bool = False
    seed: Seed = 0
    size: tuple[Side, Side] | None = None
    augmentation: Annotated[AugmentConfig, tyro.conf.arg(name="augment")] = AugmentConfig()


def data_show(argv: Sequence[str]) -> int:
    """Draw random pairs of a dataset with their poses, as training sees them."""
    options = parse(ShowOptions, "data show", argv)
    from repose_jax.common.files import check_writable, write_whole
    from repose_jax.data.pairs.sheet import show_pairs
    from repose_jax.data.registry import open_dataset

    check_writable(options.output.parent)
    source = open_dataset(options.data, options.split, size=options.size)
    for note in source.notes:
        say(f"note: {note}")
    sheet = show_pairs(source, options.count, seed=options.seed, augment=options.augmentation,
                       each=options.augment)
    write_whole(options.output, lambda file: sheet.save(file, format="PNG"))
    say(f"wrote {options.output}")
    return 0
