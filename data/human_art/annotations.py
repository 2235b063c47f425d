"""Human-Art's annotations (Ju et al., CVPR 2023): COCO's JSON with a scenario and a description.

    root/annotations/training_humanart.json, validation_humanart.json, ..._humanart_cartoon.json
    root/images/2D_virtual_human/cartoon/000000000007.jpg

There is no source person and there are no pairs: each picture stands for itself, with the people
in it.

This is not the reader of pose files (`repose_jax.pose.formats`), which decides by vote what a file of
unknown origin means and leaves out doubtful joints. Here unit, size and flags are fixed by the data
set, scores are computed from boxes and areas that pose files lack, and a vote or a threshold would
change the truth that detections are scored against.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from repose_jax.common.errors import UserError
from repose_jax.data.image.findings import refuse_most
from repose_jax.pose.formats import read_text
from repose_jax.pose.skeleton import COCO17

# The first 17 of Human-Art's 21 joints are COCO's; a finger and a toe of each side follow.
_JOINT_COUNTS = (17, 21)
_SPLITS = {"train": "training", "test": "validation"}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class AnnotatedPicture:
    """A picture and the people in it.

    Attributes:
      path: the file.
      size: (height, width) in pixels.
      scenario: cartoon, dance, oil_painting, ...; empty where it is not told.
      description: what the picture shows, in words; may be empty.
      people: [n, 17, 3] in skeleton coco17: x, y in pixels and a visibility in [0, 1].
      boxes: [n, 4], left, top, width and height of each person in pixels.
      areas: [n], area of each person in square pixels, which COCO's keypoint similarity needs.
      number: by which detections name the picture: its id among Human-Art's annotations, its key in
        HumanSD's mapping file.
    """

    path: pathlib.Path
    size: tuple[int, int]
    scenario: str
    description: str
    people: Float[np.ndarray, "n 17 3"]
    boxes: Float[np.ndarray, "n 4"]
    areas: Float[np.ndarray, "n"]
    number: int | str


# Names or descriptions of what cannot be used, by the reason.
LeftOut = dict[str, list[str]]
_IMAGES, _PEOPLE = "images that cannot be used", "people that cannot be used"


class _Person(NamedTuple):
    """A person's pose [17, 3], box [4] and area."""

    pose: np.ndarray
    box: np.ndarray
    area: np.float32


def is_human_art(root: str | os.PathLike[str]) -> bool:
    """Whether a folder holds Human-Art's annotations or HumanSD's mapping files."""
    root = pathlib.Path(root)
    return any(path for pattern in ("annotations/*_humanart*.json", "*_humanart*.json",
                                    "mapping_file_*.json", "mapping_train*.json",
                                    "mapping_valid*.json") for path in root.glob(pattern))


def annotation_file(root: str | os.PathLike[str], split: str,
                    scenario: str | None = None) -> pathlib.Path | None:
    """The JSON of a split ("train", "test"), perhaps of one scenario; None where it is missing."""
    name = f"{split_word(split)}_humanart{f'_{scenario}' if scenario else ''}.json"
    root = pathlib.Path(root)
    return next((path for path in (root / "annotations" / name, root / name) if path.is_file()),
                None)


def split_word(split: str) -> str:
    """Human-Art's word for "train" or "test"."""
    if split not in _SPLITS:
        raise UserError("split", f"is {split}", "choose train or test")
    return _SPLITS[split]


def load_human_art(root: str | os.PathLike[str], split: str = "train", *,
                   scenario: str | None = None,
                   left_out: LeftOut | None = None) -> tuple[AnnotatedPicture, ...]:
    """Loads the annotations of a split; pictures are not opened.

    Args:
      root: the folder that holds annotations/ and images/.
      split: "train" (Human-Art's training) or "test" (its validation).
      scenario: reads the file of one scenario, as cartoon; None reads that of all.
      left_out: gets what cannot be used, which is left out; without it the first is refused.

    Returns:
      The pictures in the order of the file, also those without people. As elsewhere in this
      package COCO's visibility 1 (hidden, but marked) counts as known, as 2 does.

    Raises:
      UserError: for a file that cannot be used, a person of no picture, an id that comes twice, a
        picture that is missing, and where more images or people are broken than whole.
    """
    path = annotation_file(root, split, scenario)
    if path is None:
        raise UserError(root, f"has no Human-Art annotation for {split}",
                        f"add annotations/{split_word(split)}_humanart.json")
    pictures = read_human_art(path, left_out=left_out)
    missing = [str(picture.path) for picture in pictures if not picture.path.is_file()]
    if missing and left_out is not None:
        left_out["pictures that are missing"] = [
            picture_name(root, picture.path) for picture in pictures if not picture.path.is_file()]
        pictures = tuple(picture for picture in pictures if picture.path.is_file())
    elif missing:
        raise UserError(path, f"names {len(missing)} of {len(pictures)} pictures that are missing, "
                        f"the first {missing[0]}", "complete the folder images")
    return pictures


def read_human_art(path: str | os.PathLike[str], *,
                   left_out: LeftOut | None = None) -> tuple[AnnotatedPicture, ...]:
    """Reads one annotation file whether or not its pictures are there; see `load_human_art`."""
    path = pathlib.Path(path)
    content = read_json(path)
    named: dict[int | str, list[dict]] = {}
    for image in _entries(path, content, "images"):
        with forgiving(left_out, _IMAGES):
            named.setdefault(_number(path, image, "id", "an image"), []).append(image)
    people: dict[int | str, list[_Person]] = {number: [] for number in named}
    for row in _entries(path, content, "annotations"):
        with forgiving(left_out, _PEOPLE):
            number = _number(path, row, "image_id", "an annotation")
            if number not in people:
                raise UserError(path, f"has a person of image {number}, which it lacks",
                                "give the file whole")
            people[number].append(_person(path, row))
    pictures = []
    for number, images in named.items():
        with forgiving(left_out, _IMAGES):
            if len(images) > 1:  # whose the people are cannot be told
                raise UserError(path, f"has image {number} {len(images)} times", "keep one of them")
            pictures.append(_picture(path, images[0], people[number]))
    lost = left_out or {}
    refuse_most(path, lost.get(_IMAGES, ()), len(pictures), "images")
    refuse_most(path, lost.get(_PEOPLE, ()), sum(map(len, people.values())), "people")
    return tuple(pictures)


@contextlib.contextmanager
def forgiving(left_out: LeftOut | None, why: str) -> Iterator[None]:
    """Adds what a UserError says to `left_out`; without it, raises the error."""
    try:
        yield
    except UserError as error:
        if left_out is None:
            raise
        left_out.setdefault(why, []).append(error.what)


def picture_name(root: str | os.PathLike[str], path: pathlib.Path) -> str:
    """A picture by its path from the folder of the dataset."""
    return pathlib.Path(os.path.relpath(path, root)).as_posix()


def read_json(path: pathlib.Path) -> dict:
    """A JSON object; UserError for anything else."""
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError):
        raise UserError(path, "is not valid JSON", "fetch it again") from None
    if not isinstance(content, dict):
        raise UserError(path, "is not a JSON object", "give Human-Art's own file")
    return content


def coco_pose(where: pathlib.Path, values: object, what: str) -> Float[np.ndarray, "17 3"]:
    """17 or 21 triples x, y, visibility, flat or nested, as a pose of skeleton coco17.

    Raises:
      UserError: for another number of values, and for values that are not finite numbers.
    """
    try:
        pose = np.asarray(values, np.float32).reshape(-1, 3)
    except (TypeError, ValueError, OverflowError):
        pose = np.zeros((0, 3))
    if len(pose) not in _JOINT_COUNTS or not np.isfinite(pose).all():
        raise UserError(where, f"has no 17 or 21 joints x, y, visibility in {what}",
                        "give Human-Art's own file")
    pose = pose[:len(COCO17)]
    return np.where(pose[:, 2:] > 0, np.minimum(pose, [np.inf, np.inf, 1]), 0).astype(np.float32)


def _entries(path: pathlib.Path, content: dict, key: str) -> list[dict]:
    entries = content.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UserError(path, f"has no list of {key}", "give Human-Art's own file")
    return entries


def _value(path: pathlib.Path, entry: dict, key: str, what: str):
    if key not in entry:
        raise UserError(path, f"has {what} without {key}", "give Human-Art's own file")
    return entry[key]


def _number(path: pathlib.Path, entry: dict, key: str, what: str) -> int | str:
    """The id of an image; UserError for anything that is neither a whole number nor text."""
    number = _value(path, entry, key, what)
    if type(number) not in (int, str):  # True is an int, too, and the same as 1
        raise UserError(path, f"has {what} whose {key} is {str(number)[:40]}",
                        "give Human-Art's own file")
    return number


def _person(path: pathlib.Path, row: dict) -> _Person:
    pose = coco_pose(path, row.get("keypoints", row.get("keypoints_21")),
                     f"annotation {row.get('id')}")
    try:
        box, area = np.array(row["bbox"], np.float32).reshape(4), np.float32(float(row["area"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        box, area = np.zeros(0), np.nan
    if not (len(box) and np.isfinite([*box, area]).all()):
        raise UserError(path, f"has a person without bbox and area in image {row['image_id']}",
                        "give Human-Art's own file")
    return _Person(pose, box, area)


def _picture(path: pathlib.Path, image: dict, people: Sequence[_Person]) -> AnnotatedPicture:
    name = f"image {image['id']}"
    file, height, width = (_value(path, image, key, name)
                           for key in ("file_name", "height", "width"))
    try:
        size = int(height), int(width)
    except (TypeError, ValueError, OverflowError):
        size = 0, 0
    if not all(0 < side < 1 << 31 for side in size):
        raise UserError(path, f"has {name} of height {str(height)[:40]} and width {str(width)[:40]}",
                        "give Human-Art's own file")
    return AnnotatedPicture(
        path=_locate(path, str(file)), size=size,
        scenario=str(image.get("category") or "").replace(" ", "_"),
        description=str(image.get("description") or ""),
        people=np.array([p.pose for p in people], np.float32).reshape(-1, len(COCO17), 3),
        boxes=np.array([p.box for p in people], np.float32).reshape(-1, 4),
        areas=np.array([p.area for p in people], np.float32),
        number=image["id"])


def _locate(annotation: pathlib.Path, file: str) -> pathlib.Path:
    """The picture's file; names start at Human-Art's folder, or above it with its name."""
    folder = annotation.parent
    root = folder.parent if folder.name == "annotations" else folder
    parts = pathlib.PurePosixPath(file).parts
    # A file that is nowhere is reported at the first of these places.
    places = (root.joinpath(*parts[parts[:1] == ("HumanArt",):]), root.joinpath(*parts[1:]),
              root.parent / file, root / "images" / file)
    return next((place for place in places if place.is_file()), places[0])
