"""Says what is wrong with a dataset's folder before a training run finds out."""

from __future__ import annotations

import collections
import os
import pathlib

from repose_jax.common.errors import UserError
from repose_jax.data.deepfashion.annotations import is_deepfashion
from repose_jax.data.deepfashion.check import check_deepfashion
from repose_jax.data.human_art.annotations import is_human_art
from repose_jax.data.human_art.check import check_human_art
from repose_jax.data.image.findings import Count, Finding, Findings, Report
from repose_jax.data.market1501.layout import find_csv, plain_annotation
from repose_jax.data.market1501.names import DISTRACTORS, JUNK, person_of
from repose_jax.data.market1501.survey import list_pictures, survey
from repose_jax.data.pairs.source import OrderedPairs
from repose_jax.data.records.check import check_built
from repose_jax.data.records.locate import find_built
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
      picture, bad pair lists. Everything in all splits is looked at, whatever is found; poses,
      people and pairs are counted as training counts them.

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
        folder = next((f for f in (root / f"bounding_box_{split}", root / split) if f.is_dir()), None)
        if folder is None:
            continue
        try:
            annotation, pairs = (find_csv(root, kind, split) for kind in ("annotation", "pairs"))
        except UserError as error:
            findings.add_error(error)
            continue
        if annotation is None:
            findings.append(Finding(str(root), f"has no market-annotation-{split}.csv"))
            continue
        published = (_PUBLISHED[split] if annotation.name.startswith("market-") else (None, None))
        counts += _check_split(
            folder, annotation, pairs, findings, split, published, sample, DISTRACTORS)
    if counts or findings:
        return Report(layout="Market-1501", counts=tuple(counts), findings=tuple(findings))
    counts = _check_split(root, plain_annotation(root), None, findings, "train", (None, None),
                          sample, JUNK)
    return Report(layout="plain folder", counts=tuple(counts), findings=tuple(findings))


def _check_split(folder: pathlib.Path, annotation: pathlib.Path, pairs: pathlib.Path | None,
                 findings: Findings, split: str, published: tuple[int | None, int | None],
                 sample: int | None, nobody: tuple[str, ...]) -> list[Count]:
    try:
        found = survey(folder, annotation, nobody=nobody, skip_broken=True)
    except UserError as error:
        findings.add_error(error)
        pictures = {name: folder / name for name in list_pictures(folder)}
        findings.add_pictures(folder, pictures, sample)
        return [Count(f"{split} pictures", len(pictures), published[0])]
    if not found.present:
        findings.append(Finding(str(folder), "has no pictures"))
    findings.add(annotation, list(found.broken), "broken rows")
    findings.add(annotation, found.twice, "names that come twice")
    findings.add(annotation, found.without_picture, "rows without picture")
    findings.add(folder, found.without_row, "pictures without row", hurts=False)
    for what, names in found.doubted().items():
        findings.add(annotation, names, f"poses with {what}", hurts=False)
    sizes = findings.add_pictures(folder, {name: folder / name for name in found.present}, sample)
    findings.add_poses(annotation, found.table.names, found.table.poses,
                       [sizes.get(name) for name in found.table.names], MIN_JOINTS)
    kept, others = found.usable(sizes)
    findings.add(folder, others["distractors"], "distractors, who are nobody", hurts=False)
    names = [found.table.names[i] for i in kept]
    people = collections.Counter(map(person_of, names))
    findings.add(annotation, [p for p, c in people.items() if c == 1],
                 "people with one picture, which make no pair", hurts=False)
    if pairs is None and len(people) == 1 and len(names) > 1:
        findings.append(Finding(str(folder), f"has one person only, {next(iter(people))}, by the names "
                                "of its pictures, which begin with the person: PERSON_anything.jpg"))
    number = len(OrderedPairs([person_of(name) for name in names]))
    if pairs is not None:
        try:
            listed, _, unknown = found.pairs(pairs, kept, strict=False)
        except UserError as error:
            findings.add_error(error)
        else:
            number = len(listed)
            findings.add(pairs, unknown, "names without annotation")
            findings.add(pairs, [names[a] for a, b in listed if a == b],
                         "pairs of a picture with itself")
            findings.add(pairs, [f"{names[a]} and {names[b]}" for a, b in listed
                                 if person_of(names[a]) != person_of(names[b])],
                         "pairs of two people")
    return [Count(f"{split} pictures", len(found.present), published[0]),
            Count(f"{split} poses", len(names)),
            Count(f"{split} people", len(people)),
            Count(f"{split} pairs", number, published[1] if pairs is not None else None)]
