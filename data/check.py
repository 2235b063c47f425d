"""Says what is wrong with a dataset's folder before a training run finds out."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib

import numpy as np

from repose_jax.data.array_record import load_array_record
from repose_jax.data.images import read_image
from repose_jax.data.market1501.layout import (
    MIN_JOINTS, find_csv, list_pictures, person_of, plain_annotation)
from repose_jax.data.pair_list import read_pairs
from repose_jax.data.registry import find_built
from repose_jax.errors import UserError
from repose_jax.pose.formats import NamedPoses, read_csv_poses


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
      where: the file or folder.
      what: what is wrong with it, in one line.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def check_folder(path: str | os.PathLike[str]) -> list[Finding]:
    """Looks through a folder in the Market-1501 layout, a plain one or a built dataset.

    Returns:
      What was found: missing, empty and corrupt pictures, rows without picture and pictures
      without row, names that come twice, pictures of several sizes, poses outside of their
      picture, with too few joints or with none, people with a single picture, bad pair lists.
      An empty list means that all is well.

    Raises:
      UserError: where there is nothing that could be a dataset.
    """
    root = pathlib.Path(path)
    if not root.is_dir():
        raise UserError(root, "is not a folder", "give the folder of a dataset")
    if built := find_built(root):
        return _check_built(built)
    findings, seen = [], False
    for split in ("train", "test"):
        for folder in (root / f"bounding_box_{split}", root / split):
            if not folder.is_dir():
                continue
            seen = True
            annotation = find_csv(root, "annotation", split)
            if annotation is None:
                findings.append(Finding(str(root), f"has no market-annotation-{split}.csv"))
                continue
            findings += _check_split(folder, annotation, find_csv(root, "pairs", split))
            break
    if not seen:
        findings = _check_split(root, plain_annotation(root), None)
    return findings


def _some(names: list[str]) -> str:
    return f"{len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"


def _check_split(folder: pathlib.Path, annotation: pathlib.Path,
                 pairs: pathlib.Path | None) -> list[Finding]:
    try:
        table = read_csv_poses(annotation)
    except UserError as error:
        return [Finding(str(annotation), error.what)]
    findings = []

    def report(where, names: list[str], what: str) -> None:
        if names:
            findings.append(Finding(str(where), f"{what}: {_some(names)}"))

    present = list_pictures(folder)
    if not present:
        findings.append(Finding(str(folder), "has no pictures"))
    counts = collections.Counter(table.names)
    report(annotation, [n for n, c in counts.items() if c > 1], "names that come twice")
    report(annotation, [n for n in counts if n not in set(present)], "rows without picture")
    report(folder, [n for n in present if n not in counts], "pictures without row")
    sizes = {}
    for name in present:
        try:
            sizes[name] = read_image(folder / name).shape[:2]
        except UserError as error:
            empty = not (folder / name).stat().st_size
            findings.append(Finding(error.where, "is empty" if empty else error.what))
    several = collections.Counter(sizes.values()).most_common()
    if len(several) > 1:
        text = ", ".join(f"{n} of {h}x{w}" for (h, w), n in several[:4])
        findings.append(Finding(str(folder), f"has pictures of several sizes: {text}"))
    findings += _check_poses(annotation, table, sizes)
    people = collections.Counter(person_of(name) for name in counts)
    report(annotation, [p for p, c in people.items() if c == 1],
           "people with one picture, which make no pair")
    if pairs is not None:
        try:
            listed, _ = read_pairs(pairs, {name: i for i, name in enumerate(table.names)})
        except UserError as error:
            findings.append(Finding(error.where, error.what))
        else:
            report(pairs, [table.names[a] for a, b in listed if a == b],
                   "pairs of a picture with itself")
            report(pairs, [f"{table.names[a]} and {table.names[b]}" for a, b in listed
                           if person_of(table.names[a]) != person_of(table.names[b])],
                   "pairs of two people")
    return findings


def _check_poses(annotation: pathlib.Path, table: NamedPoses, sizes: dict) -> list[Finding]:
    known = table.poses[..., 2] > 0
    size = np.array([sizes.get(name, (np.inf, np.inf)) for name in table.names], np.float64)
    xy = table.poses[..., :2]
    # Half a pixel beyond the outer pixels' centres is still within the picture.
    outside = (known & ((xy < -0.5) | (xy > size[:, None, ::-1] - 0.5)).any(-1)).any(1)
    findings = []
    for rows, what in ((outside, "poses outside of their picture"),
                       (~known.any(1), "poses without any joint"),
                       (known.any(1) & (known.sum(1) < MIN_JOINTS),
                        f"poses of fewer than {MIN_JOINTS} joints")):
        if rows.any():
            names = [table.names[i] for i in np.flatnonzero(rows)]
            findings.append(Finding(str(annotation), f"{what}: {_some(names)}"))
    return findings


def _check_built(folder: pathlib.Path) -> list[Finding]:
    findings = []
    for file in sorted(folder.glob("*.array_record*")):
        split = file.name.split("-", 1)[1].split(".", 1)[0]
        try:
            source = load_array_record(folder, split, cache=False)
            for i in range(len(source)):
                source.image(i)
        except UserError as error:
            findings.append(Finding(error.where, error.what))
    if not any(folder.glob("*.array_record*")):
        findings.append(Finding(str(folder), "has no array_record files"))
    return findings
