"""Says what is wrong with a dataset's folder before a training run finds out."""

from __future__ import annotations

import collections
import os
import pathlib

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.data.deepfashion.annotations import is_deepfashion
from repose_jax.data.deepfashion.check import check_deepfashion
from repose_jax.data.human_art.annotations import is_human_art
from repose_jax.data.human_art.check import check_human_art
from repose_jax.data.image.findings import Count, Finding, Findings, Report
from repose_jax.data.market1501.layout import find_csv, list_pictures, person_of, plain_annotation
from repose_jax.data.pairs.list import read_pairs
from repose_jax.data.pairs.source import OrderedPairs
from repose_jax.data.records.check import check_built
from repose_jax.data.records.locate import find_built
from repose_jax.pose.formats import read_csv_poses
from repose_jax.pose.people import MIN_JOINTS

# Market-1501's own pictures (Zheng et al., ICCV 2015) and PATN's pairs (Zhu et al., CVPR 2019).
_PUBLISHED = {"train": (12_936, 263_632), "test": (None, 12_000)}


def check_folder(path: str | os.PathLike[str]) -> list[Finding]:
    """The findings of `check_dataset`; an empty list means that all is well."""
    return list(check_dataset(path).findings)


def check_dataset(path: str | os.PathLike[str], *, sample: int | None = None) -> Report:
    """Looks through a folder in any layout that this package reads, or a built dataset.

    Args:
      path: the folder.
      sample: pictures of a split to decode whole, evenly spread; None decodes all. Headers are
        always read.

    Returns:
      What was recognised, counts, and what was found: missing, empty and corrupt pictures, rows
      without picture and pictures without row, names that come twice, pictures of several sizes,
      poses outside of their picture, with too few joints or with none, people with a single
      picture, bad pair lists.

    Raises:
      UserError: where there is nothing that could be a dataset.
    """
    root = pathlib.Path(path)
    if not root.is_dir():
        raise UserError(root, "is not a folder", "give the folder of a dataset")
    if sample is not None and sample < 1:
        raise UserError("sample", f"is {sample}", "give 1 or more, or leave it out")
    if is_deepfashion(root):
        return check_deepfashion(root, sample)
    if is_human_art(root):
        return check_human_art(root, sample)
    if built := find_built(root):
        return check_built(built, sample)
    findings, counts = Findings(), []
    for split in ("train", "test"):
        for folder in (root / f"bounding_box_{split}", root / split):
            if not folder.is_dir():
                continue
            annotation = find_csv(root, "annotation", split)
            if annotation is None:
                findings.append(Finding(str(root), f"has no market-annotation-{split}.csv"))
                continue
            published = (_PUBLISHED[split] if annotation.name.startswith("market-")
                         else (None, None))
            counts += _check_split(folder, annotation, find_csv(root, "pairs", split), findings,
                                   split, published, sample)
            break
    if counts or findings:
        return Report(layout="Market-1501", counts=tuple(counts), findings=tuple(findings))
    counts = _check_split(root, plain_annotation(root), None, findings, "train", (None, None),
                          sample)
    return Report(layout="plain folder", counts=tuple(counts), findings=tuple(findings))


def _check_split(folder: pathlib.Path, annotation: pathlib.Path, pairs: pathlib.Path | None,
                 findings: Findings, split: str, published: tuple[int | None, int | None],
                 sample: int | None) -> list[Count]:
    try:
        table = read_csv_poses(annotation)
    except UserError as error:
        findings.add_error(error)
        return []
    present = list_pictures(folder)
    if not present:
        findings.append(Finding(str(folder), "has no pictures"))
    counts, there = collections.Counter(table.names), set(present)
    findings.add(annotation, [n for n, c in counts.items() if c > 1], "names that come twice")
    findings.add(annotation, [n for n in counts if n not in there], "rows without picture")
    findings.add(folder, [n for n in present if n not in counts], "pictures without row",
                 hurts=False)
    sizes = findings.add_pictures(folder, {name: folder / name for name in present}, sample)
    size = np.array([sizes.get(name, (np.inf, np.inf)) for name in table.names], np.float64)
    findings.add_poses(annotation, table.names, table.poses, size, MIN_JOINTS)
    people = collections.Counter(person_of(name) for name in counts)
    findings.add(annotation, [p for p, c in people.items() if c == 1],
                 "people with one picture, which make no pair", hurts=False)
    number = len(OrderedPairs([person_of(name) for name in table.names]))
    if pairs is not None:
        try:
            listed, _ = read_pairs(pairs, {name: i for i, name in enumerate(table.names)})
        except UserError as error:
            findings.add_error(error)
        else:
            number = len(listed)
            findings.add(pairs, [table.names[a] for a, b in listed if a == b],
                         "pairs of a picture with itself")
            findings.add(pairs, [f"{table.names[a]} and {table.names[b]}" for a, b in listed
                                 if person_of(table.names[a]) != person_of(table.names[b])],
                         "pairs of two people")
    return [Count(f"{split} pictures", len(present), published[0]),
            Count(f"{split} poses", len(table.names)),
            Count(f"{split} people", len(people)),
            Count(f"{split} pairs", number, published[1] if pairs is not None else None)]
