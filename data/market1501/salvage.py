"""What is left of a damaged folder: the pictures that can be read and have a pose."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
from typing import NamedTuple

from repose_jax.common.errors import UserError
from repose_jax.data.image.findings import Findings, refuse_most
from repose_jax.pose.formats import NamedPoses, read_csv_poses


class Salvage(NamedTuple):
    """What can be used of a folder and its annotation.

    Attributes:
      table: the rows whose picture can be read.
      left_out: names of other pictures and rows.
      reasons: the same and the broken rows, by the reason.
      notes: a sentence for each thing that was left out.
    """

    table: NamedPoses
    left_out: frozenset[str]
    reasons: dict[str, list[str]]
    notes: tuple[str, ...]


def salvage(folder: str | os.PathLike[str], annotation: str | os.PathLike[str],
            present: set[str], *, one_size: bool) -> Salvage:
    """Leaves out rows that cannot be read, and pictures that are missing or cannot be decoded.

    All pictures that have a row are decoded, which takes its time.

    Args:
      folder: holds the pictures.
      annotation: CSV with a row for each picture. Of a name that comes twice the first row counts.
      present: names of the pictures of the folder.
      one_size: leave out pictures of other sizes than the most common, too.

    Raises:
      UserError: the annotation cannot be read at all, most of its rows are broken, or no picture
        is left.
    """
    broken: list[str] = []
    table = read_csv_poses(annotation, broken=broken)
    refuse_most(annotation, broken, len(table.names))
    findings, reasons = Findings(), {}

    def leave_out(where: str | os.PathLike[str], names: list[str], why: str) -> None:
        findings.add(where, names, why)
        reasons[why] = names

    leave_out(annotation, broken, "broken rows")
    counts = collections.Counter(table.names)
    leave_out(annotation, [n for n, c in counts.items() if c > 1], "names that come twice")
    leave_out(annotation, [n for n in counts if n not in present], "rows without picture")
    leave_out(folder, sorted(present - counts.keys()), "pictures without a row that can be read")
    paths = {name: pathlib.Path(folder, name) for name in counts if name in present}
    sizes = findings.add_pictures(folder, paths, one_size=False)
    reasons["pictures that cannot be read"] = [name for name in paths if name not in sizes]
    if not sizes:
        raise UserError(folder, "has no picture that can be read and has a row", "complete it")
    if one_size:
        most = collections.Counter(sizes.values()).most_common(1)[0][0]
        other = [name for name, size in sizes.items() if size != most]
        leave_out(folder, other, f"pictures of another size than {most[0]}x{most[1]}")
        sizes = {name: size for name, size in sizes.items() if size == most}
    first = {name: i for i, name in reversed(list(enumerate(table.names))) if name in sizes}
    rows = sorted(first.values())
    kept = dataclasses.replace(table, poses=table.poses[rows],
                               names=tuple(table.names[i] for i in rows))
    return Salvage(kept, frozenset(present | counts.keys()) - frozenset(kept.names),
                   reasons, tuple(f"left out: {finding}" for finding in findings))
