"""What a check of a dataset says: counts, and what is wrong."""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from repose_jax.common.errors import UserError
from repose_jax.data.image.files import frame_note, image_size, read_image

# A file, and the (height, width) of its picture where it can be read.
Sizes = dict[str, tuple[int, int]]
_MANY = 0.1  # part of the poses


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
      where: the file or folder.
      what: what is wrong with it, in one line.
      hurts: whether training would suffer; otherwise it is good to know.
    """

    where: str
    what: str
    hurts: bool = True

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclasses.dataclass(frozen=True)
class Count:
    """How many of something there are, and how many were published, None where nobody says."""

    what: str
    found: int
    published: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What a check says of a folder.

    Attributes:
      layout: which layout it was taken for.
      counts: the rows of the table.
      findings: all that is wrong.
    """

    layout: str
    counts: tuple[Count, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def hurts(self) -> bool:
        """Whether training would suffer from any finding."""
        return any(finding.hurts for finding in self.findings)

    def table(self) -> list[str]:
        """The counts as the lines of a table."""
        rows = [("", "found", "published")] + [
            (c.what, f"{c.found:,}", "" if c.published is None else f"{c.published:,}")
            for c in self.counts]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        return [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}".rstrip()
                for a, b, c in rows] if self.counts else []


def spread(count: int, sample: int | None) -> list[int]:
    """Which of `count` things to look at: `sample` of them, evenly spread, or all for None."""
    return np.linspace(0, count - 1, min(sample or count, count)).astype(int).tolist()


class Findings(list[Finding]):
    """Findings as they are collected."""

    def add(self, where: str | os.PathLike[str], names: Sequence[str], what: str, *,
            hurts: bool = True) -> None:
        """One finding about some names; none where there are no names."""
        if names:
            some = f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
            self.append(Finding(os.fspath(where), f"{what}: {len(names)} ({some})", hurts))

    def add_error(self, error: UserError) -> None:
        """What kept a file from being read."""
        self.append(Finding(error.where, error.what))

    def add_pictures(self, where: str | os.PathLike[str], paths: Mapping[str, pathlib.Path],
                     sample: int | None = None, *, one_size: bool = True) -> Sizes:
        """Looks at picture files: at all headers, and at all or some of them whole.

        Args:
          where: names the folder in findings about all of them.
          paths: files by the names that the result has.
          sample: how many to decode, evenly spread; None decodes all.
          one_size: whether it is a finding that they differ in size.

        Returns:
          (height, width) of each picture that can be read.
        """
        whole, sizes, frames = set(spread(len(paths), sample)), {}, []
        for number, (name, path) in enumerate(paths.items()):
            try:
                sizes[name] = (read_image(path).shape[:2] if number in whole
                               else tuple(image_size(path)))
                if path.suffix.lower() not in (".jpg", ".jpeg") and frame_note(path):
                    frames.append(name)
            except UserError as error:
                empty = path.is_file() and not path.stat().st_size
                self.append(Finding(error.where, "is empty" if empty else error.what))
        self.add(where, frames, "pictures of several frames, of which the first is read", hurts=False)
        several = collections.Counter(sizes.values()).most_common()
        if one_size and len(several) > 1:
            text = ", ".join(f"{n} of {h}x{w}" for (h, w), n in several[:4])
            self.append(Finding(os.fspath(where), f"has pictures of several sizes: {text}"))
        return sizes

    def add_poses(self, where: str | os.PathLike[str], names: Sequence[str],
                  poses: Float[np.ndarray, "n joints 3"],
                  sizes: Sequence[tuple[int, int] | None], min_joints: int) -> None:
        """Poses with joints outside of their picture, with few joints and with none.

        Args:
          where: the file of the poses.
          names: of the poses.
          poses: x, y in pixels and a visibility.
          sizes: (height, width) of each pose's picture, None where it is not known.
          min_joints: pictures with fewer are left out, which does not hurt. Nor do some poses that
            reach over the edge; many are a sign of poses that belong to pictures of another size.
        """
        xy, known = poses[..., :2], poses[..., 2] > 0
        size = np.array([each or (np.inf, np.inf) for each in sizes]).reshape(-1, 2)
        # Half a pixel beyond the outer pixels' centres is still within the picture.
        outside = (known & ((xy < -0.5) | (xy > size[:, None, ::-1] - 0.5)).any(-1)).any(1)
        few = known.any(1) & (known.sum(1) < min_joints)
        for rows, what, hurts in (
                (outside, "poses outside of their picture",
                 outside.sum() > _MANY * len(outside)),
                (~known.any(1), "poses without any joint", False),
                (few, f"poses of fewer than {min_joints} joints", False)):
            self.add(where, [names[i] for i in np.flatnonzero(rows)], what, hurts=bool(hurts))


def refuse_most(annotation: str | os.PathLike[str], broken: Sequence[str], whole: int,
                what: str = "rows") -> None:
    """Raises UserError where more rows, or what else is counted, are broken than whole."""
    if len(broken) > whole:
        raise UserError(annotation, f"has {len(broken)} broken {what} of {len(broken) + whole}, the "
                        f"first: {broken[0]}", "this is more than damage; give the right file")
