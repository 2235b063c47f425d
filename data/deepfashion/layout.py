"""DeepFashion In-shop as pairs to train on and to evaluate with."""

from __future__ import annotations

import os
import pathlib

import numpy as np
from jaxtyping import Int

from repose_jax.common.errors import UserError
from repose_jax.data.deepfashion.annotations import (
    FRAME, Annotations, check_frame, read_annotations)
from repose_jax.data.deepfashion.names import clothes_of, person_of, picture_key
from repose_jax.data.deepfashion.pictures import (
    DatabasePictures, FilePictures, find_databases, find_pictures, white_border)
from repose_jax.data.image.files import StoredPictures
from repose_jax.data.image.findings import Findings
from repose_jax.data.image.resize import squeeze_pose
from repose_jax.data.pairs.list import find_pairs
from repose_jax.data.pairs.source import OrderedPairs, PairSource
from repose_jax.pose.people import MIN_JOINTS
from repose_jax.pose.skeleton import OPENPOSE18

# Pictures and pairs of the published split (PATN's train.lst and test.lst; PIDM, section 4).
PUBLISHED = {"train": (48_674, 101_966), "test": (4_038, 8_570)}


def choose_database(root: str | os.PathLike[str], annotations: Annotations,
                    size: tuple[int, int] | None) -> tuple[tuple[int, int], pathlib.Path] | None:
    """The LMDB folder to read and its size; None where picture files are to be read.

    A folder of the very size comes first, then picture files, then the folder that loses least.
    """
    found = find_databases(root) if annotations.layout == "text" else {}
    if not found:
        return None
    size = tuple(size or FRAME)
    if size in found:
        return size, found[size]
    if any((pathlib.Path(root) / name).is_dir() for name in ("img", "img_highres")):
        return None
    large = [s for s in found if s[0] >= size[0] and s[1] >= size[1]]
    best = min(large) if large else max(found)
    return best, found[best]


def load_deepfashion(root: str | os.PathLike[str], split: str = "train", *,
                     size: tuple[int, int] | None = None, cache: bool = True,
                     skip_broken: bool = False, compare: bool = True) -> PairSource:
    """Loads a split of DeepFashion In-shop in the layouts of `annotations` and `pictures`.

    Pictures are squeezed to one size, not padded, as all programs of the field do. Poses move
    along, pixel centres to pixel centres: x becomes (x + 0.5) s - 0.5 where those programs have
    x s, half a pixel apart at 512x352 and the same at 256x176. The person is the name up to the id;
    pairs are those of the list. Without a list (CSV layout only) they are all ordered pairs of a
    person's pictures in the same clothes.

    Args:
      root: the folder that holds the lists.
      split: "train" or "test".
      size: (height, width) of the pictures; None takes 256x176.
      cache: keep decoded pictures in memory.
      skip_broken: leave out rows that cannot be read, second rows of a name, missing pictures and
        the pairs of these, and name them in `notes`; otherwise the first is refused. Pictures are
        not decoded for this.
      compare: say in `notes` which counts are not the published ones.

    Returns:
      The annotated pictures with at least `MIN_JOINTS` known joints, in skeleton openpose18;
      `notes` says which files were read and what was left out.

    Raises:
      UserError: for files that cannot be used, a pair without annotation, an annotation without
        picture, a name that comes twice, poses of another frame.
    """
    return source_of(root, split, read_annotations(root, split, skip_broken=skip_broken), size=size,
                     cache=cache, skip_broken=skip_broken, compare=compare)


def source_of(root: str | os.PathLike[str], split: str, annotations: Annotations, *,
              size: tuple[int, int] | None = None, cache: bool = True, skip_broken: bool = False,
              compare: bool = True) -> PairSource:
    """What `load_deepfashion` gives, of annotations that have been read."""
    where, pair_list = annotations.where, annotations.pair_list
    if annotations.unposed and not skip_broken:
        raise UserError(pair_list, f"names {len(annotations.unposed)} pictures without annotation "
                        f"in {where.name}, the first {annotations.unposed[0]}",
                        "annotate them or drop their lines")
    check_frame(annotations)
    all_keys = [picture_key(name) for name in annotations.names]
    first = np.zeros(len(all_keys), bool)
    first[np.unique(all_keys, return_index=True)[1]] = True
    twice = [all_keys[i] for i in np.flatnonzero(~first)]
    if twice and not skip_broken:
        raise UserError(where, f"names {twice[0]} twice", "keep one row a picture")
    known = (annotations.poses[..., 2] > 0).sum(1) >= MIN_JOINTS
    size = tuple(size or FRAME)
    read, kept, missing, notes = _pictures(root, split, annotations, np.flatnonzero(known & first),
                                           size, skip_broken)
    if not len(kept):
        raise UserError(where, f"has no picture with a pose of {MIN_JOINTS} or more joints",
                        "check the annotation")
    names, keys = ([values[i] for i in kept] for values in (annotations.names, all_keys))
    few = [annotations.names[i] for i in np.flatnonzero(~known)]
    damage, left_out = Findings(), {
        "broken rows": annotations.broken, "names that come twice": twice,
        "pictures without annotation": annotations.unposed, "pictures that are missing": missing}
    for why, lost in left_out.items():
        damage.add(where, lost, why)
    notes += [f"left out: {finding}" for finding in damage]
    left_out[f"pictures with fewer than {MIN_JOINTS} joints"] = few
    if annotations.unused:
        notes.append(f"{annotations.unused.name} is there too and is not read")
    if few:
        notes.append(f"{len(few)} pictures with fewer than {MIN_JOINTS} joints left out")
    pairs, dropped = np.asarray(OrderedPairs([clothes_of(name) for name in names])), 0
    if pair_list is None:
        notes.append("no list of pairs: all pictures of a person in the same clothes are paired")
    else:
        others = {*all_keys, *map(picture_key, annotations.unposed)}.difference(keys)
        pairs, dropped, _ = find_pairs(pair_list, {key: i for i, key in enumerate(keys)},
                                       frozenset(others), picture_key)
    if dropped:
        notes.append(f"{dropped} pairs of pictures that were left out are dropped")
    if not len(pairs):
        raise UserError(pair_list or where, "gives no pair", "check the lists")
    if compare:
        notes += differences(split, len(annotations.names), len(pairs))
    return PairSource(
        skeleton=OPENPOSE18, size=size, names=names, persons=[person_of(name) for name in names],
        poses=squeeze_pose(annotations.poses[kept], FRAME, size), read=read, pairs=pairs,
        cache=cache, notes=notes, left_out=left_out)


def differences(split: str, pictures: int, pairs: int) -> list[str]:
    """A sentence for each count that is not the published one."""
    return [f"{found:,} {what} where {published:,} {split} {what} were published"
            for found, published, what in zip((pictures, pairs), PUBLISHED[split],
                                              ("pictures", "pairs"), strict=True)
            if found != published]


def _pictures(root, split: str, annotations: Annotations, wanted: Int[np.ndarray, "n"],
              size: tuple[int, int], skip_broken: bool
              ) -> tuple[StoredPictures, Int[np.ndarray, "m"], list[str], list[str]]:
    """Finds the pictures of some annotations.

    Returns:
      Their reader, the numbers of those that are there, the names of all annotated pictures that
      are missing, and a sentence or two on where they are.
    """
    names = annotations.names
    keys = [picture_key(name) for name in names]
    chosen = choose_database(root, annotations, size)
    if chosen is not None:
        stored, folder = chosen
        database = DatabasePictures(folder, names, size)
        missing = database.missing()
        there = ~np.isin(database.keys, missing)
    else:
        folder, found = pathlib.Path(root), find_pictures(root, split, set(keys))
        there = np.array([key in found for key in keys], bool)
        missing = [names[i] for i in np.flatnonzero(~there)]
    if missing and not skip_broken:
        raise UserError(folder, f"lacks {len(missing)} of {len(names)} annotated pictures, the "
                        f"first {missing[0]}", "complete it, or drop their rows and pairs")
    kept = wanted[there[wanted]]
    note = f"poses from {annotations.where.name}, pictures from "
    if chosen is not None:
        note += f"the database {folder.name}"
        if stored != size:
            note += f", resized again to {size[0]}x{size[1]}"
        return DatabasePictures(folder, [names[i] for i in kept], size), kept, missing, [note]
    paths = [found[keys[i]][0] for i in kept]
    folders = sorted({path.relative_to(root).parts[0] if path.parent != folder else "."
                      for path in paths})
    notes = [f"{note}{', '.join(folders[:4])}"]
    border = white_border(paths, skip_broken=skip_broken) if paths else 0
    if border:
        notes.append(f"the white borders of {border} columns are cut off the 256x256 pictures")
    return FilePictures(paths, size, border), kept, missing, notes
