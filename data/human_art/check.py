"""Says what is wrong with a Human-Art folder."""

from __future__ import annotations

import collections
import os
import pathlib

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.data.human_art.annotations import AnnotatedPicture, annotation_file, read_human_art
from repose_jax.data.human_art.packed import load_humansd, mapping_file
from repose_jax.data.image.findings import Count, Finding, Findings, Report

_PUBLISHED = 50_000


def check_human_art(root: str | os.PathLike[str], sample: int | None = None) -> Report:
    """Looks through Human-Art's annotations, or HumanSD's packing where there are none.

    Args:
      root: the folder that holds annotations/ or the mapping files.
      sample: pictures of a split to decode whole, evenly spread; None decodes all.
    """
    findings, counts, layout, total = Findings(), [], "Human-Art", 0
    for split in ("train", "test"):
        try:
            if file := annotation_file(root, split):
                pictures = read_human_art(file)
            elif file := mapping_file(root, split):
                layout, pictures = "HumanSD's packing of Human-Art", load_humansd(root, split)
            else:
                continue
        except UserError as error:
            findings.add_error(error)
            continue
        counts += _check_split(file, split, pictures, findings, sample)
        total += len(pictures)
    if not counts and not findings:
        findings.append(Finding(os.fspath(root), "has neither training_humanart.json nor "
                                "validation_humanart.json, only single scenarios", False))
    counts.append(Count("pictures of both splits", total, _PUBLISHED))
    return Report(layout=layout, counts=tuple(counts), findings=tuple(findings))


def _check_split(file: pathlib.Path, split: str, pictures: tuple[AnnotatedPicture, ...],
                 findings: Findings, sample: int | None) -> list[Count]:
    names = collections.Counter(str(picture.path) for picture in pictures)
    findings.add(file, [name for name, n in names.items() if n > 1], "pictures that come twice")
    there = {name: pathlib.Path(name) for name in names if os.path.isfile(name)}
    findings.add(file, [name for name in names if name not in there],
                 "annotated pictures that are missing")
    sizes = findings.add_pictures(file, there, sample, one_size=False)
    findings.add(file, [str(p.path) for p in pictures
                        if sizes.get(str(p.path), p.size) != p.size],
                 "pictures of another size than their annotation says")
    people = [(str(p.path), p.size, person) for p in pictures for person in p.people]
    if people:
        labels, frames, poses = zip(*people, strict=True)
        findings.add_poses(file, labels, np.stack(poses), frames, 1)
    return [Count(f"{split} pictures", len(there)), Count(f"{split} annotated pictures",
                                                          len(pictures)),
            Count(f"{split} people", len(people)),
            Count(f"{split} scenarios", len({p.scenario for p in pictures if p.scenario}))]
