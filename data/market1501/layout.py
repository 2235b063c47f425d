"""The Market-1501 layout: a folder of pictures, an annotation CSV, perhaps a pair CSV.

    root/bounding_box_train/0002_c1s1_000451_03.jpg     (or root/train/)
    root/market-annotation-train.csv                    name:keypoints_y:keypoints_x
    root/market-pairs-train.csv                         from,to         (optional)

The person is the file name up to the first "_" (Zheng et al., ICCV 2015); in this layout -1 and 0000
are junk and distractors, not people. A plain folder has its pictures and the one CSV side by side.
"""

from __future__ import annotations

import os
import pathlib

from repose_jax.common.errors import UserError
from repose_jax.data.image.files import FolderImages, image_sizes, read_image
from repose_jax.data.image.resize import fit_pose
from repose_jax.data.market1501.names import DISTRACTORS, JUNK, person_of
from repose_jax.data.market1501.survey import survey
from repose_jax.data.pairs.cameras import cameras_of
from repose_jax.data.pairs.source import PairSource
from repose_jax.pose.people import MIN_JOINTS


def image_folder(root: str | os.PathLike[str], split: str) -> pathlib.Path:
    """The folder of a split's pictures; UserError where there is none."""
    root = pathlib.Path(root)
    if not root.is_dir():
        raise UserError(root, "is not a folder", "give the folder that holds bounding_box_train")
    for name in (f"bounding_box_{split}", split):
        if (root / name).is_dir():
            return root / name
    raise UserError(root, f"has no folder bounding_box_{split} or {split}",
                    "give a folder in the Market-1501 layout")


def find_csv(root: str | os.PathLike[str], kind: str, split: str) -> pathlib.Path | None:
    """The CSV of a kind ("annotation" or "pairs") for a split, or None."""
    root = pathlib.Path(root)
    exact = root / f"market-{kind}-{split}.csv"
    if exact.is_file():
        return exact
    found = sorted(root.glob(f"*{kind}*{split}.csv"))
    if len(found) > 1:
        raise UserError(root, f"has several {kind} files: {', '.join(p.name for p in found)}",
                        f"keep one, named {exact.name}")
    return found[0] if found else None


def plain_annotation(folder: str | os.PathLike[str]) -> pathlib.Path:
    """The one CSV of a plain folder, in which the pictures lie beside it."""
    found = sorted(pathlib.Path(folder).glob("*.csv"))
    if len(found) != 1:
        has = f"{len(found)} CSV files" if found else "neither bounding_box_train nor a CSV"
        raise UserError(
            folder, f"is no dataset: it has {has}",
            "give a folder in the Market-1501 layout, pictures with one annotation CSV, or a "
            "built dataset")
    return found[0]


def load_layout(folder: str | os.PathLike[str], annotation: str | os.PathLike[str],
                pairs: str | os.PathLike[str] | None = None, *,
                size: tuple[int, int] | None = None, cache: bool = True,
                skip_broken: bool = False, nobody: tuple[str, ...] = JUNK) -> PairSource:
    """Loads a folder of pictures whose poses are in one CSV.

    Args:
      folder: holds the pictures.
      annotation: CSV with a row for each picture; a picture without a row is left out.
      pairs: CSV of pairs; None makes all ordered pairs of one person's pictures.
      size: (height, width) to which pictures and poses are resized and padded; None takes that of
        the first picture, and all must have it.
      cache: keep decoded pictures in memory.
      skip_broken: leave out what cannot be used, see `Survey.salvage`, and name it in `notes`;
        otherwise the first of it is refused.
      nobody: what stands for no person in the names.

    Returns:
      The pictures with at least `MIN_JOINTS` known joints; `notes` says what was left out.

    Raises:
      UserError: for a file that cannot be used, a row without picture, a name that comes twice.
    """
    found = survey(folder, annotation, nobody=nobody, skip_broken=skip_broken)
    readable, reasons, notes = None, {}, []
    if skip_broken:
        readable, reasons, notes = found.salvage(one_size=size is None)
    else:
        found.refuse_damage()
        reasons["pictures without annotation"] = found.without_row
    kept, others = found.usable(readable)
    reasons |= others
    notes += [f"{len(names)} {what} left out" for what, names in reasons.items()
              if names and (what in others or not skip_broken)]
    notes += [f"{what}: {len(names)} pictures, the first {names[0]}"
              for what, names in found.doubted().items()]
    if not kept:
        raise UserError(annotation, f"has no pose of {MIN_JOINTS} or more joints",
                        "check the annotation")
    names = tuple(found.table.names[i] for i in kept)
    pair_array = None
    if pairs is not None:
        pair_array, dropped, _ = found.pairs(pairs, kept, skip_broken=skip_broken)
        if dropped:
            notes.append(f"{dropped} pairs of pictures that were left out are dropped")
    poses = found.table.poses[kept]
    if fit := size is not None:
        sizes = image_sizes(folder, names)
        for old in {tuple(s) for s in sizes.tolist()} - {tuple(size)}:
            same = (sizes == old).all(1)
            poses[same] = fit_pose(poses[same], old, size)
            notes.append(f"{same.sum()} pictures of {old[0]}x{old[1]} are resized and padded")
    else:
        size = read_image(os.path.join(folder, names[0])).shape[:2]
    source = PairSource(
        skeleton=found.table.skeleton, size=size, names=names, persons=[person_of(n) for n in names],
        poses=poses, read=FolderImages(folder, names, size, fit), pairs=pair_array, cache=cache,
        notes=notes, left_out=reasons, cameras=cameras_of(names))
    if not len(source.pairs):
        raise UserError(pairs or annotation, "gives no pair of pictures of one person",
                        "name files PERSON_anything.jpg, two or more a person")
    return source


def load_market1501(root: str | os.PathLike[str], split: str = "train", *,
                    size: tuple[int, int] | None = None, cache: bool = True,
                    skip_broken: bool = False) -> PairSource:
    """Loads one split of a Market-1501 folder ("train" or "test"); see the module's layout.

    `size`, `cache` and `skip_broken` are those of `load_layout`.
    """
    folder = image_folder(root, split)
    annotation = find_csv(root, "annotation", split)
    if annotation is None:
        raise UserError(root, f"has no annotation for {split}",
                        f"add market-annotation-{split}.csv with lines "
                        "name:keypoints_y:keypoints_x")
    return load_layout(folder, annotation, find_csv(root, "pairs", split), size=size,
                       cache=cache, skip_broken=skip_broken, nobody=DISTRACTORS)
