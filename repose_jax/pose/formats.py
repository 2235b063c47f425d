"""The one reader of pose files: every format, for every command and use.

What a file says is read by `pose_json.py` and `pose_text.py`, what it means is decided by
`pose_rules.py`, and which of its people is meant here. A file that cannot be used raises `UserError`
naming the file and the row; one person that cannot be used is in nobody else's way.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import unicodedata
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from repose_jax.common.errors import UserError
from repose_jax.pose.convert import convert
from repose_jax.pose.named_poses import NamedPose, NamedPoses
from repose_jax.pose.people import Person, choose_person
from repose_jax.pose.pose_json import read_json
from repose_jax.pose.pose_rules import settle
from repose_jax.pose.pose_text import MEND_CSV, is_pose_text, read_csv, read_pidm_text
from repose_jax.pose.pose_writers import write_pose
from repose_jax.pose.raw_poses import Fault, NotAPose, RawFile

__all__ = [
    "NamedPose", "NamedPoses", "check_inside", "convert", "find_photo_pose", "find_pose", "in_photo",
    "pose_beside", "read_csv_poses", "read_pose", "read_poses", "read_text", "same_name", "scaled",
    "write_pose"]

Size = tuple[int, int]
_MEND = ("give a pose as CSV, OpenPose or COCO JSON, 18 lines x y, or {\"skeleton\": \"openpose18\", "
         "\"joints\": {\"nose\": [x, y], ...}}")
_BESIDE = (".json", "_keypoints.json", ".csv", ".txt")
_SAME_ASPECT = 0.02
_FEWEST_PIXELS = 4


def read_text(path: str | os.PathLike[str], content: bytes | None = None) -> str:
    """The text of a file, UTF-8 or marked as UTF-16; UserError where it has none.

    `content` are the file's bytes where the caller has them already.
    """
    try:
        if content is None:
            with open(path, "rb") as file:
                content = file.read()
        wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(path, "is not a text file", "give a pose file") from None
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "check the path") from None
    if not text.strip():
        raise UserError(path, "is empty", "give a file that holds a pose")
    return text


def same_name(name: str) -> str:
    """A name as it is compared: letters with accents are written in two ways that look alike."""
    return unicodedata.normalize("NFC", name)


def read_csv_poses(
    path: str | os.PathLike[str], *, broken: list[str] | None = None,
    size_of: Callable[[str], Size | None] | None = None,
) -> NamedPoses:
    """Reads PATN's CSV, a row a picture.

    Args:
      path: the file.
      broken: gets a description of each row that cannot be used; without it such a row is refused.
      size_of: (height, width) of a picture by its name, asked where the rows are in fractions.

    Returns:
      All rows that can be used; the skeleton follows from the number of joints (18, 17 or 14).
    """
    table = settle(read_csv(read_text(path)), size_of=size_of)
    for row, fault in table.faults.items():
        said = fault if fault.startswith("line ") else f"row {row + 1} ({table.names[row]}) {fault}"
        if broken is None:
            raise UserError(path, said, MEND_CSV)
        broken.append(said)
    if len(table.faults) == len(table.names):
        raise UserError(path, table.faults.get(0, "has no rows"), MEND_CSV)
    return table.rows([i for i in range(len(table.names)) if i not in table.faults])


def _raw(path: str | os.PathLike[str], text: str) -> RawFile:
    if text.lstrip()[0] in "{[":
        return read_json(path, text)
    raw = read_csv(text) if ":" in text else read_pidm_text(path, text)
    if not raw.people:
        raise Fault("has no rows")
    return raw


def read_poses(path: str | os.PathLike[str], *, size: Size | None = None,
               min_confidence: float | None = None, content: bytes | None = None) -> NamedPoses:
    """Reads every pose of a file, recognising its format from the content.

    Known are PATN's CSV, PIDM's text, OpenPose's JSON (18 or 25 joints), COCO's keypoint JSON (also
    with the joints of Halpe or COCO-WholeBody, and with joints by name), MediaPipe's landmarks and
    our own (`pose_writers.py`).

    Args:
      path: the file.
      size: (height, width) of the picture at hand, for files that do not tell it and need it:
        fractions, and PIDM's text, for which 256x176 is taken where it is not given.
      min_confidence: joints below it are missing; None takes 0.3, and for our own format, which has
        left out what it doubts, all above 0.
      content: the file's bytes where the caller has them already; `path` then only names it.

    Raises:
      UserError: names the file and what in it cannot be used. A person who cannot be used is only a
        fault of the table.
    """
    return _poses_of(os.fspath(path), read_text(path, content), size and tuple(size), min_confidence)


@functools.lru_cache(maxsize=4)
def _poses_of(path: str, text: str, size: Size | None, min_confidence: float | None) -> NamedPoses:
    """`read_poses` of a text: each of thousands of photos asks for its row of the same file."""
    try:
        raw = _raw(path, text)
        found = settle(raw, size=size or ((256, 176) if raw.unit == "frame" else None),
                       min_confidence=min_confidence)
    except Fault as fault:
        raise UserError(path, str(fault), _MEND) from None
    found.poses.setflags(write=False)  # all who ask get this very array
    return found


def find_pose(
    path: str | os.PathLike[str], *, row: str | None = None, size: Size | None = None,
    person: Person = "largest", min_confidence: float | None = None, content: bytes | None = None,
) -> NamedPose | None:
    """Reads one pose; None where the file says that nobody is there.

    Args:
      path: a file that `read_poses` knows.
      row: name of the pose or of its picture; may be left out where the file has only one.
      size: (height, width) of the photo whose pose it is, in whose pixels a box is given; None
        where it is the pose of no photo at hand.
      person: of several people in the picture the number, from 0, the one who is seen best, or the
        one in a box.
      min_confidence, content: see `read_poses`.

    Raises:
      UserError: also where the row is needed and not given, is not there or is there twice.
    """
    table = read_poses(path, size=size, min_confidence=min_confidence, content=content)
    found = _rows_of(path, table, row)
    if not found:
        return None
    sound = [i for i in found if i not in table.faults]
    known = [i for i in sound if table.poses[i, :, 2].any()]
    if isinstance(person, int) and person in range(len(found)):
        sound = known = [found[person]]
    if not known and len(sound) < len(found) or known and known[0] in table.faults:
        fault = next(table.faults[i] for i in (known or found) if i in table.faults)
        raise UserError(path, fault, MEND_CSV if table.format == "csv" else _MEND)
    if not known:
        return None
    people = table.poses[found]
    stated = table.sizes[known[0]]
    if size and stated:
        # The file may be of a larger or smaller copy of the photo.
        people = scaled(people, stated, size)
    try:
        chosen, note = choose_person(people, person)
    except ValueError as error:
        raise UserError(path, str(error), "choose another person") from None
    chosen = found[chosen]
    if not table.poses[chosen, :, 2].any():
        return None
    notes = [note] if note else []
    notes += [f"{table.names[i]} cannot be used: {table.faults[i]}" for i in found
              if i in table.faults]
    notes += table.notes.get(chosen, ())
    return NamedPose(pose=table.poses[chosen], name=table.names[chosen], skeleton=table.skeleton,
                     size=table.sizes[chosen], path=os.fspath(path),
                     notes=tuple(f"{os.fspath(path)}: {note}" for note in notes))


def read_pose(path: str | os.PathLike[str], **options) -> NamedPose:
    """Reads one pose; the options are those of `find_pose`.

    Raises:
      UserError: also where nobody is there.
    """
    found = find_pose(path, **options)
    if found is None:
        table = read_poses(path, size=options.get("size"), content=options.get("content"))
        row = _rows_of(path, table, options.get("row"))
        what = (f"misses every joint of {table.names[row[0]]}" if row else "has no people")
        raise UserError(path, what, "give a pose with known joints")
    return found


def _rows_of(path: str | os.PathLike[str], table: NamedPoses, row: str | None) -> list[int]:
    """The rows of one picture, or of one person by name; all of a file of one picture."""
    everybody = range(len(table.names))
    if row is not None:
        for alike in (same_name, lambda name: os.path.basename(same_name(name).replace("\\", "/"))):
            found = [i for i in everybody if alike(row) in (
                alike(table.names[i]), alike(table.pictures[i]))]
            if found:
                break
    else:
        found = list(everybody)
    pictures = {table.pictures[i] for i in found}
    if row is None and len(pictures) > 1:
        # Pictures in which nobody is are in nobody's way, damage is.
        pictures = {table.pictures[i] for i in found if i in table.faults or table.poses[i].any()}
        found = [i for i in found if table.pictures[i] in pictures]
    some = ", ".join(table.names[:3]) + (", ..." if len(table.names) > 3 else "")
    together = len(pictures) == 1 and table.format != "csv"
    if row is not None and len(found) != 1 and not together:
        count = "no pose" if not found else f"{len(found)} poses"
        raise UserError(path, f"has {count} named {row}", f"it has {some}")
    if len(found) > 1 and not together:
        if table.faults:
            raise UserError(path, next(iter(table.faults.values())),
                            MEND_CSV if table.format == "csv" else _MEND)
        raise UserError(path, f"has {len(found)} poses", f"name one of them: {some}")
    return found


def scaled(poses: Float[np.ndarray, "*batch joints 3"], from_size: Size,
           to_size: Size) -> Float[np.ndarray, "*batch joints 3"]:
    """Poses of a picture in pixels of a larger or smaller copy; missing joints stay at 0."""
    ratio = np.array(to_size[::-1]) / from_size[::-1]
    xy = ((poses[..., :2] + 0.5) * ratio - 0.5) * (poses[..., 2:] > 0)
    return np.concatenate([xy, poses[..., 2:]], axis=-1, dtype=np.float32)


def in_photo(found: NamedPose, size: Size, where: str | os.PathLike[str]) -> NamedPose:
    """A pose in pixels of the photo it is of, whatever copy of the photo its file is about.

    Args:
      found: the pose.
      size: (height, width) of the photo.
      where: what errors call the pose.

    Raises:
      UserError: it is of a picture of another aspect, a few pixels large, or mostly outside.
    """
    frame = found.size or size
    if abs(frame[0] * size[1] / (frame[1] * size[0]) - 1) > _SAME_ASPECT:
        raise UserError(where, f"is of a picture of {frame[0]}x{frame[1]}, the photo has "
                        f"{size[0]}x{size[1]}", "give the pose of this very photo")
    moved = scaled(found.pose, frame, size)
    xy = moved[moved[:, 2] > 0, :2]
    if len(xy) > 1 and np.ptp(xy, axis=0).max() < _FEWEST_PIXELS:
        raise UserError(where, f"shows a person less than {_FEWEST_PIXELS} pixels large",
                        "give a pose in pixels of the photo, or tell the size of its picture")
    return dataclasses.replace(found, pose=moved, size=size,
                               notes=(*found.notes, *check_inside(where, moved, size)))


def check_inside(where: str | os.PathLike[str], pose: Float[np.ndarray, "joints 3"],
                 frame: Size) -> list[str]:
    """Refuses a pose that is mostly outside of its picture; says so of a few joints."""
    known = pose[pose[:, 2] > 0, :2]
    outside = ((known < -0.5) | (known > [frame[1] - 0.5, frame[0] - 0.5])).any(axis=1)
    if outside.sum() > 0.5 * len(known):
        raise UserError(
            where, f"has {outside.sum()} of {len(known)} joints outside of the picture of "
            f"{frame[0]}x{frame[1]}", "give a pose in pixels of the source photo, or as JSON "
            "with the size of its own picture")
    return [f"{where}: {outside.sum()} joints lie outside of the picture"] if outside.any() else []


def find_photo_pose(
    path: str | os.PathLike[str], photo: str | os.PathLike[str], size: Size, *,
    row: str | None = None, person: Person = "largest", min_confidence: float | None = None,
) -> NamedPose | None:
    """The pose of a photo's person from a file, in pixels of the photo; None where nobody is there.

    Args:
      path: a file that `read_poses` knows.
      photo: the photo, by whose file name a file of several pictures is asked.
      size: (height, width) of the photo.
      row, person, min_confidence: see `find_pose`.

    Raises:
      UserError: see `find_pose` and `in_photo`.
    """
    if row is None and len(set(read_poses(path, size=size).pictures)) > 1:
        row = os.path.basename(photo)
    found = find_pose(path, row=row, size=size, person=person, min_confidence=min_confidence)
    return None if found is None else in_photo(found, size, path)


def pose_beside(image: object) -> tuple[str | None, list[str]]:
    """The pose file that lies beside a picture and has its name, and files that were passed over.

    A text or JSON of the picture's name that is no pose at all, such as a caption, is passed over
    and named in the second; a damaged pose file is not.
    """
    passed: list[str] = []
    if not isinstance(image, (str, os.PathLike)):
        return None, passed
    stem = os.path.splitext(os.fspath(image))[0]
    for path in (stem + suffix for suffix in _BESIDE):
        if os.path.isfile(path):
            if _holds_pose(path):
                return path, passed
            passed.append(f"{path}: is no pose file and is passed over")
    return None, passed


def _holds_pose(path: str) -> bool:
    try:
        text = read_text(path)
    except UserError:
        return path.endswith(".json")  # it is damaged; a caption may be empty, or in any encoding
    if text.lstrip()[0] not in "{[":
        return is_pose_text(text)
    try:
        _raw(path, text)
    except NotAPose:
        return False
    except Fault:
        return path.endswith(".json")
    return True
