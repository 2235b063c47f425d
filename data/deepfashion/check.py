"""Says what is wrong with a DeepFashion folder before a training run finds out."""

from __future__ import annotations

import collections
import os
import pathlib

from repose_jax.common.errors import UserError
from repose_jax.data.deepfashion.annotations import (
    FRAME, Annotations, check_frame, has_split, read_annotations)
from repose_jax.data.deepfashion.layout import PUBLISHED, choose_database, source_of
from repose_jax.data.deepfashion.names import clothes_of, picture_key
from repose_jax.data.deepfashion.pictures import (
    DatabasePictures, find_databases, find_pictures, white_border)
from repose_jax.data.image.findings import Count, Finding, Findings, Report, spread
from repose_jax.data.pairs.list import read_pair_list
from repose_jax.pose.people import MIN_JOINTS


def check_deepfashion(root: str | os.PathLike[str], sample: int | None = None) -> Report:
    """Looks through both splits of a DeepFashion folder in either layout.

    Args:
      root: the folder that holds the lists.
      sample: pictures of a split to decode whole, evenly spread; None decodes all.

    Returns:
      Counts beside the published ones, and findings. Poses, people and pairs are those that
      `load_deepfashion` holds when it leaves damage out, 0 where it refuses. That a picture lies in
      several folders, or that a folder holds a part of DeepFashion only, does not hurt.
    """
    findings, counts, layouts = Findings(), [], {}
    for split in ("train", "test"):
        if not has_split(root, split):
            findings.append(Finding(os.fspath(root), f"has no lists for {split}",
                                    split == "train"))
            continue
        try:
            annotations = read_annotations(root, split, skip_broken=True)
        except UserError as error:
            findings.add_error(error)
            continue
        layouts[annotations.layout] = None
        counts += _check_split(pathlib.Path(root), split, annotations, findings, sample)
    names = {"CSV": "CSV files of PATN, GFLA, DPTN and CFLD",
             "text": "text files of NTED, PIDM and X-MDPT"}
    layout = " and ".join(names[layout] for layout in layouts)
    return Report(layout=f"DeepFashion{f', {layout}' if layout else ''}", counts=tuple(counts),
                  findings=tuple(findings))


def _check_split(root: pathlib.Path, split: str, annotations: Annotations, findings: Findings,
                 sample: int | None) -> list[Count]:
    where, names = annotations.where, annotations.names
    before = _harm(findings)
    if annotations.unused:
        findings.append(Finding(str(annotations.unused), "is not read: the CSV files are", False))
    try:
        check_frame(annotations)
    except UserError as error:
        findings.add_error(error)
    else:
        findings.add_poses(where, names, annotations.poses, [FRAME] * len(names), MIN_JOINTS)
    findings.add(where, list(annotations.broken), "broken rows")
    rows = collections.Counter(map(picture_key, names))
    findings.add(where, [key for key, n in rows.items() if n > 1], "names that come twice")
    try:
        pairs = read_pair_list(annotations.pair_list) if annotations.pair_list else []
        _check_pairs(annotations, pairs, findings)
    except UserError as error:
        findings.add_error(error)
    present = _check_pictures(root, split, annotations, findings, sample)
    poses = people = number = 0
    try:  # training counts by this very code
        source = source_of(root, split, annotations, skip_broken=True, compare=False)
        poses, people, number = len(source), len(set(source.persons)), len(source.pairs)
    except UserError as error:
        if _harm(findings) == before:  # otherwise it only says again what has been found
            findings.add_error(error)
    published = PUBLISHED[split]
    counts = [Count(f"{split} pictures", present, published[0]),
              Count(f"{split} poses", poses, published[0]),
              Count(f"{split} people", people),
              Count(f"{split} pairs", number, published[1])]
    listed = root / f"{split}.lst"
    if listed.is_file():
        lines = len(listed.read_text(errors="replace").split())
        counts.append(Count(f"{split} names in {listed.name}", lines, published[0]))
    return counts


def _harm(findings: Findings) -> int:
    return sum(finding.hurts for finding in findings)


def _check_pairs(annotations: Annotations, pairs: list, findings: Findings) -> None:
    where = annotations.pair_list or annotations.where
    if not pairs:
        findings.append(Finding(str(where), "has no list of pairs beside it", False))
    findings.add(where, annotations.unposed, f"pictures without annotation in "
                 f"{annotations.where.name}")
    findings.add(where, [p.source for p in pairs if picture_key(p.source) == picture_key(p.target)],
                 "pairs of a picture with itself")
    findings.add(where, [f"{p.source} and {p.target}" for p in pairs
                         if clothes_of(p.source) != clothes_of(p.target)],
                 "pairs of different clothes or people")


def _check_pictures(root: pathlib.Path, split: str, annotations: Annotations,
                    findings: Findings, sample: int | None) -> int:
    """Looks at the pictures of a split, in the databases and in the folders; how many there are."""
    names, present = annotations.names, 0
    keys = {picture_key(name): name for name in names}
    for size, folder in find_databases(root).items() if annotations.layout == "text" else ():
        try:
            present = max(present, _check_database(folder, names, size, findings, sample))
        except UserError as error:
            findings.add_error(error)
    found = find_pictures(root, split, set(keys))
    if not found and choose_database(root, annotations, None):
        return present
    findings.add(root, [name for key, name in keys.items() if key not in found],
                 "annotated pictures that are missing", hurts=present < len(keys))
    findings.add(root, [f"{name} in {' and '.join(str(p.parent.relative_to(root)) for p in paths)}"
                        for name, paths in ((keys[key], paths) for key, paths in found.items())
                        if len(paths) > 1],
                 "pictures that lie there twice, of which the first is read", hurts=False)
    # They are squeezed to one size when they are read, whatever size they have.
    findings.add_pictures(root, {keys[key]: paths[0] for key, paths in found.items()}, sample,
                          one_size=False)
    try:
        if border := found and white_border([paths[0] for paths in found.values()]):
            findings.append(Finding(str(root), f"has 256x256 pictures with white borders of "
                                    f"{border} columns, which are cut off", False))
    except UserError as error:
        if error.where not in {finding.where for finding in findings}:
            findings.add_error(error)
    return len(found)


def _check_database(folder: pathlib.Path, names: tuple[str, ...], size: tuple[int, int],
                    findings: Findings, sample: int | None) -> int:
    pictures = DatabasePictures(folder, names, size)
    missing = set(pictures.missing())
    findings.add(folder, sorted(missing), "pictures that the database lacks")
    there = [i for i, key in enumerate(pictures.keys) if key not in missing]
    other = []
    for i in (there[j] for j in spread(len(there), sample)):
        try:
            if pictures.original(i).shape[:2] != size:
                other.append(pictures.keys[i])
        except UserError as error:
            findings.add_error(error)
    findings.add(folder, other, f"pictures that are not {size[0]}x{size[1]}")
    return len(there)
