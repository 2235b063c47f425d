"""What of a folder and its annotation can be used: the one count of check, training and build."""

from __future__ import annotations

import collections
import dataclasses
import functools
import os
import pathlib
from collections.abc import Collection

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.data.image.files import SUFFIXES, image_size
from repose_jax.data.image.findings import Findings, refuse_most
from repose_jax.data.market1501.names import JUNK, person_of
from repose_jax.data.pairs.list import find_pairs
from repose_jax.pose.formats import NamedPoses, read_csv_poses, same_name
from repose_jax.pose.people import MIN_JOINTS

Sizes = dict[str, tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class Survey:
    """Rows and pictures, sorted by what they are good for.

    Attributes:
      folder, annotation: where they are.
      table: the rows that can be read, named as the folder names their pictures.
      broken: a description of each other row.
      present: names of the pictures, sorted.
      nobody: what stands in names for no person.
    """

    folder: pathlib.Path
    annotation: pathlib.Path
    table: NamedPoses
    broken: tuple[str, ...]
    present: tuple[str, ...]
    nobody: tuple[str, ...]

    @functools.cached_property
    def rows(self) -> dict[str, int]:
        """The number of the first row of each name."""
        numbers: dict[str, int] = {}
        for i, name in enumerate(self.table.names):
            numbers.setdefault(name, i)
        return numbers

    @property
    def twice(self) -> list[str]:
        """Names of several rows, of which the first counts."""
        counts = collections.Counter(self.table.names)
        return [name for name, count in counts.items() if count > 1]

    @property
    def without_picture(self) -> list[str]:
        """Names of rows that have no picture."""
        there = set(self.present)
        return [name for name in self.rows if name not in there]

    @property
    def without_row(self) -> list[str]:
        """Names of pictures that have no row that can be read."""
        return [name for name in self.present if name not in self.rows]

    def doubted(self) -> dict[str, list[str]]:
        """Names by what was made of joints that the file does not call missing."""
        found: dict[str, list[str]] = {}
        for row, notes in self.table.notes.items():
            for note in (note.split(" ", 1) for note in notes if note[0].isdigit()):
                found.setdefault(note[1], []).append(self.table.names[row])
        return found

    def usable(self, readable: Collection[str] | None = None) -> tuple[list[int], dict[str, list[str]]]:
        """The rows of people that can be used, and the names of the others by the reason.

        Args:
          readable: names of the pictures that can be; None takes all that are there.
        """
        there = set(self.present if readable is None else readable)
        kept, few, nobody = [], [], []
        for name, row in self.rows.items():
            if name not in there:
                continue
            if person_of(name) in self.nobody:
                nobody.append(name)
            elif (self.table.poses[row, :, 2] > 0).sum() < MIN_JOINTS:
                few.append(name)
            else:
                kept.append(row)
        return kept, {f"pictures with fewer than {MIN_JOINTS} joints": few, "distractors": nobody}

    def pairs(self, path: str | os.PathLike[str], kept: list[int], *, strict: bool = True,
              skip_broken: bool = False) -> tuple[np.ndarray, int, list[str]]:
        """The pairs of a list among the rows `kept`, as numbers in it; see `pairs.list.find_pairs`.

        Pairs of rows that are not kept are dropped, and if `skip_broken` those of pictures without a
        row as well.
        """
        names = [self.table.names[i] for i in kept]
        index = {same_name(name): i for i, name in enumerate(names)}
        known = {same_name(name) for name in (*(self.present if skip_broken else ()),
                                              *self.table.names)}
        return find_pairs(path, index, frozenset(known - index.keys()), same_name, strict=strict)

    def refuse_damage(self) -> None:
        """Raises UserError for the first row without picture, or name of two rows."""
        if missing := self.without_picture:
            raise UserError(self.annotation, f"has {len(missing)} rows without picture in "
                            f"{os.fspath(self.folder)}, the first {missing[0]}",
                            "complete the folder or drop the rows")
        if self.twice:
            raise UserError(self.annotation, f"names {self.twice[0]} twice", "keep one row a picture")

    def salvage(self, *, one_size: bool) -> tuple[Sizes, dict[str, list[str]], list[str]]:
        """The pictures that can be used, by decoding them; names of the others by the reason, notes.

        Raises:
          UserError: there is none.
        """
        findings, reasons = Findings(), {}

        def leave_out(where: str | os.PathLike[str], names: list[str], why: str) -> None:
            findings.add(where, names, why)
            reasons[why] = names

        leave_out(self.annotation, list(self.broken), "broken rows")
        leave_out(self.annotation, self.twice, "names that come twice")
        leave_out(self.annotation, self.without_picture, "rows without picture")
        leave_out(self.folder, self.without_row, "pictures without a row that can be read")
        paths = {name: self.folder / name for name in self.rows if name in set(self.present)}
        sizes = findings.add_pictures(self.folder, paths, one_size=False)
        reasons["pictures that cannot be read"] = [name for name in paths if name not in sizes]
        if not sizes:
            raise UserError(self.folder, "has no picture that can be read and has a row",
                            "complete it")
        if one_size:
            most = collections.Counter(sizes.values()).most_common(1)[0][0]
            other = [name for name, size in sizes.items() if size != most]
            leave_out(self.folder, other, f"pictures of another size than {most[0]}x{most[1]}")
            sizes = {name: size for name, size in sizes.items() if size == most}
        return sizes, reasons, [f"left out: {finding}" for finding in findings]


def list_pictures(folder: str | os.PathLike[str]) -> list[str]:
    """Names of the picture files directly in a folder, sorted."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.name.lower().endswith(SUFFIXES))


def survey(folder: str | os.PathLike[str], annotation: str | os.PathLike[str], *,
           nobody: tuple[str, ...] = JUNK, skip_broken: bool = False) -> Survey:
    """Reads an annotation CSV and lists the pictures beside it.

    Args:
      folder: holds the pictures.
      annotation: CSV with a row for each picture.
      nobody: see `Survey`.
      skip_broken: name rows that cannot be read in `broken`; otherwise the first is refused.

    Raises:
      UserError: the annotation cannot be read at all, or most of its rows are broken.
    """
    folder, annotation = pathlib.Path(folder), pathlib.Path(annotation)
    present, broken = list_pictures(folder), []
    on_disk = {same_name(name): name for name in present}

    def size_of(name: str) -> tuple[int, int] | None:
        try:
            return image_size(folder / on_disk.get(same_name(name), name))
        except UserError:
            return None  # whoever reads the picture says what is wrong with it

    table = read_csv_poses(annotation, broken=broken if skip_broken else None, size_of=size_of)
    refuse_most(annotation, broken, len(table.names))
    names = tuple(on_disk.get(same_name(name), name) for name in table.names)
    return Survey(folder, annotation, dataclasses.replace(table, names=names), tuple(broken),
                  tuple(present), nobody)

