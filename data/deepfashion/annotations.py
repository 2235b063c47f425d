"""Poses and pairs of DeepFashion, in the two layouts that its users share.

CSV layout (PATN, GFLA, DPTN, CFLD), names flattened:

    root/fasion-resize-annotation-train.csv   name:keypoints_y:keypoints_x
    root/fasion-resize-pairs-train.csv        from,to

Text layout (NTED, PIDM, X-MDPT), names with folders:

    root/train_pairs.txt                      TARGET,SOURCE[,SOURCE...], names from img/ on
    root/pose/WOMEN/.../02_1_front.txt        18 lines x y

The prefix is spelled fasion or fashion, with or without "resize". Poses of both are brought to the
frame in which the CSV files have them: 256 high and 176 wide.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib

import numpy as np
from jaxtyping import Bool, Float

from repose_jax.common.errors import UserError
from repose_jax.data.deepfashion.names import picture_key
from repose_jax.data.image.findings import refuse_most
from repose_jax.data.pairs.list import read_pair_list
from repose_jax.pose.formats import read_csv_poses, read_poses
from repose_jax.pose.skeleton import OPENPOSE18

FRAME = (256, 176)
# A joint or two may lie outside of the frame; where one in a hundred does, it is another frame.
_MOST_BEYOND, _FEWEST_BEYOND = 0.01, 4


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Annotations:
    """Poses and pairs of one split.

    Attributes:
      layout: "CSV" or "text".
      where: the annotation CSV or the pose folder.
      pair_list: the list of pairs, None where there is none.
      names: of the annotated pictures, as the files have them.
      poses: [N, 18, 3] in pixels of a 256x176 frame, and a visibility.
      unposed: names in the list of pairs that have no annotation.
      unused: the list of pairs of the other layout where that is there too.
      broken: rows and pose files that cannot be read, where that is no error.
    """

    layout: str
    where: pathlib.Path
    pair_list: pathlib.Path | None
    names: tuple[str, ...]
    poses: Float[np.ndarray, "n 18 3"]
    unposed: tuple[str, ...] = ()
    unused: pathlib.Path | None = None
    broken: tuple[str, ...] = ()


def is_deepfashion(root: str | os.PathLike[str]) -> bool:
    """Whether a folder holds lists or annotations of either layout."""
    return any(has_split(root, split) for split in ("train", "test"))


def has_split(root: str | os.PathLike[str], split: str) -> bool:
    """Whether there is any list or annotation of "train" or "test"."""
    return bool(_csv(root, "*", split)) or _pair_text(root, split).is_file()


def read_annotations(root: str | os.PathLike[str], split: str, *,
                     skip_broken: bool = False) -> Annotations:
    """Reads the poses and finds the pairs of a split.

    Where both layouts are complete the CSV files are taken, whose pairs are the published ones.

    Args:
      root: the folder that holds the lists.
      split: "train" or "test".
      skip_broken: name rows and pose files that cannot be read in `broken`, unless they are the
        most; otherwise the first is refused.

    Raises:
      UserError: neither layout is there, a file cannot be used or comes in two spellings, or the
        poses are not in the frame.
    """
    annotation, text = _csv(root, "annotation", split), _pair_text(root, split)
    if annotation:
        read = _read_csv_layout(root, split, _only(root, annotation),
                                text if text.is_file() else None, skip_broken)
    elif text.is_file():
        read = _read_text_layout(root, text, skip_broken)
    else:
        raise UserError(root, f"has no DeepFashion annotation for {split}",
                        f"add fasion-resize-annotation-{split}.csv, or {split}_pairs.txt and pose/")
    refuse_most(read.where, read.broken, len(read.names))
    return read


def beyond_frame(poses: Float[np.ndarray, "n 18 3"]) -> Bool[np.ndarray, "n 18"]:
    """Which known joints lie outside of the frame; half a pixel beyond its outer centres is in."""
    xy, width_height = poses[..., :2], np.array(FRAME[::-1])
    return (poses[..., 2] > 0) & ((xy < -0.5) | (xy > width_height - 0.5)).any(-1)


def check_frame(annotations: Annotations) -> None:
    """Raises UserError where the poses are in another frame than 256x176."""
    beyond, known = beyond_frame(annotations.poses), annotations.poses[..., 2] > 0
    if beyond.sum() < max(_FEWEST_BEYOND, _MOST_BEYOND * known.sum()):
        return
    mend = ("give the fasion-resize-annotation files, whose poses are those of 256x176 pictures"
            if annotations.layout == "CSV" else
            "give poses of 256x256 pictures that show the person in columns 40 to 216")
    raise UserError(
        annotations.where, f"has {beyond.sum()} of {known.sum()} joints beyond a frame 256 high "
        f"and 176 wide, the first of {annotations.names[int(beyond.any(1).argmax())]}", mend)


def _csv(root: str | os.PathLike[str], kind: str, split: str) -> list[pathlib.Path]:
    """Files of a kind in the better of two spellings: "resize" tells the frame for sure."""
    root = pathlib.Path(root)
    return (sorted(root.glob(f"fas*ion-resize-{kind}-{split}.csv"))
            or sorted(root.glob(f"fas*ion-{kind}-{split}.csv")))


def _only(root: str | os.PathLike[str], files: list[pathlib.Path]) -> pathlib.Path:
    if len(files) > 1:
        raise UserError(root, f"has several files of a kind: {', '.join(f.name for f in files)}",
                        "keep one")
    return files[0]


def _pair_text(root: str | os.PathLike[str], split: str) -> pathlib.Path:
    return pathlib.Path(root) / f"{split}_pairs.txt"


def _read_csv_layout(root, split: str, annotation: pathlib.Path,
                     unused: pathlib.Path | None, skip_broken: bool) -> Annotations:
    broken: list[str] = []
    table = read_csv_poses(annotation, broken=broken if skip_broken else None)
    if table.skeleton is not OPENPOSE18:
        raise UserError(annotation, f"has {len(table.skeleton)} joints a pose",
                        "give DeepFashion's 18")
    pairs = _csv(root, "pairs", split)
    pair_list = _only(root, pairs) if pairs else None
    known, unposed = {picture_key(name) for name in table.names}, {}
    for pair in read_pair_list(pair_list) if pair_list else ():
        for name in (pair.source, pair.target):
            if picture_key(name) not in known:
                unposed[name] = None
    return Annotations(layout="CSV", where=annotation, pair_list=pair_list, names=table.names,
                       poses=table.poses, unposed=tuple(unposed), unused=unused,
                       broken=tuple(broken))


def _read_text_layout(root, pair_list: pathlib.Path, skip_broken: bool) -> Annotations:
    folder = pathlib.Path(root) / "pose"
    if not folder.is_dir():
        raise UserError(folder, "is not there",
                        f"unpack the pose files that {pair_list.name} needs")
    # Dictionaries, because they keep the order of the list.
    names = {picture_key(name): name for pair in read_pair_list(pair_list)
             for name in (pair.target, pair.source)}
    files = {picture_key(path.relative_to(folder).as_posix()): path
             for path in sorted(folder.rglob("*.txt"))}
    poses, broken = {}, []
    for key in (key for key in names if key in files):
        try:
            poses[key] = _read_pose_text(files[key])
        except UserError as error:
            if not skip_broken:
                raise
            broken.append(f"{files[key].relative_to(root).as_posix()} {error.what}")
    return Annotations(
        layout="text", where=folder, pair_list=pair_list, names=tuple(names[key] for key in poses),
        poses=(np.stack(list(poses.values())) if poses
               else np.zeros((0, len(OPENPOSE18), 3), np.float32)),
        unposed=tuple(name for key, name in names.items() if key not in poses),
        broken=tuple(broken))


def _read_pose_text(path: pathlib.Path) -> Float[np.ndarray, "18 3"]:
    """A pose file; one without any joint is fine, as annotations of such pictures are left out."""
    table = read_poses(path, size=FRAME)
    if len(table.names) != 1 or table.skeleton is not OPENPOSE18:
        raise UserError(path, f"has {len(table.names)} poses of {table.skeleton.name}",
                        "give one pose, 18 lines x y")
    if table.faults:
        raise UserError(path, table.faults[0], "give one pose, 18 lines x y")
    return table.poses[0]
