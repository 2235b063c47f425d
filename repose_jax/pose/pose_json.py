"""What pose files that are JSON say: our own, OpenPose's, COCO's, MediaPipe's and their kin."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import numpy as np

from repose_jax.pose.detectors import LAYOUTS, MEDIAPIPE33, layout_of
from repose_jax.pose.joint_names import layout_named
from repose_jax.pose.raw_poses import (
    Fault, NotAPose, RawFile, RawPerson, numbers, refuse_constant, spelled, stated_size, stated_unit)
from repose_jax.pose.skeleton import OPENPOSE18, Skeleton

_NAMES = ("keypointnames", "keypointsnames", "jointnames", "bodyparts", "joints", "keypoints")
_CONFIDENCES = ("keypointscores", "keypointsscores", "keypointconfidences", "scores", "confidences")
_THIRD = ("visibility", "confidence", "score", "v", "c", "presence")
# OpenPose's 18 joints among its 25: without the mid hip and the feet.
_OF_BODY25 = [*range(8), *range(9, 19)]


def read_json(path: str | os.PathLike[str], text: str) -> RawFile:
    """Our own JSON, OpenPose's, COCO's or MediaPipe's, told apart by their keys.

    Raises:
      NotAPose: it has none of these keys.
      Fault: it is no JSON, or none of its people can be told apart.
    """
    try:
        content = json.loads(text, parse_constant=refuse_constant)
    except json.JSONDecodeError as error:
        raise Fault(f"is not valid JSON (line {error.lineno}: {error.msg})") from None
    except (ValueError, RecursionError):
        raise Fault("is not valid JSON") from None
    stem = os.path.splitext(os.path.basename(os.fspath(path)))[0].removesuffix("_keypoints")
    if isinstance(content, list):
        if content and all(isinstance(frame, dict) and "people" in frame for frame in content):
            return _read_openpose(content, stem)
        if not content or any(isinstance(row, dict) and "keypoints" in row for row in content):
            return _read_coco({"annotations": content}, stem)
    elif isinstance(content, dict):
        if "joints" in content and "keypoints" not in content:
            return _read_own(content, stem)
        if "people" in content:
            return _read_openpose([content], stem)
        for key in ("landmarks", "pose_landmarks", "poseLandmarks"):
            if key in content:
                return _read_landmarks(content, content[key], stem)
        if "annotations" in content:
            return _read_coco(content, stem)
        if "keypoints" in content:
            return _read_coco({**content, "annotations": [content]}, stem)
    raise NotAPose("has none of the keys joints, people (OpenPose), annotations or keypoints (COCO), "
                   "landmarks (MediaPipe)")


def _person(name: str, picture: str, size: tuple[int, int] | None, read, *given) -> RawPerson:
    """One person, read by a function of `given`; what is wrong with them is wrong with nobody else."""
    try:
        skeleton, values = read(*given)
    except Fault as fault:
        return RawPerson(name=name, picture=picture, size=size, fault=str(fault))
    return RawPerson(name=name, picture=picture, skeleton=skeleton, values=values, size=size)


def _read_own(content: dict, stem: str) -> RawFile:
    skeleton = LAYOUTS.get(str(content.get("skeleton")))
    if skeleton is None:
        raise Fault(f"names the skeleton {str(content.get('skeleton'))[:40]!r}; known are "
                    f"{', '.join(LAYOUTS)}")
    joints = content["joints"]
    if not isinstance(joints, dict):
        raise Fault('has no {"joint": [x, y]} under joints')
    pose = np.zeros((len(skeleton), 3))
    for joint, values in joints.items():
        if joint not in skeleton.joints:
            raise Fault(f"has the joint {joint!r:.60}, which {skeleton.name} lacks")
        if len(numbers(values, joint)) not in (2, 3):
            raise Fault(f"has {len(values)} numbers for {joint}, not x, y or x, y, visibility")
        pose[skeleton.index(joint)] = [*values, 1.0][:3]
    name = str(content.get("name", stem))
    return RawFile(format="ours", unit=stated_unit(content), decided=True, people=[RawPerson(
        name=name, picture=name, skeleton=skeleton, values=pose, size=stated_size(content))])


def _read_openpose(frames: list[dict], stem: str) -> RawFile:
    """COCO-18 or BODY_25, whose mid hip and feet have no place in openpose18; a frame a picture."""
    people = []
    for number, frame in enumerate(frames):
        picture = stem if len(frames) == 1 else f"{stem}:{number}"
        if not isinstance(frame["people"], list):
            raise Fault("has no list of people")
        size = stated_size(frame)
        for i, person in enumerate(frame["people"]):
            name = picture if len(frame["people"]) == 1 else f"{picture}:{i}"
            people.append(_person(name, picture, size, _openpose_joints, person, frame))
    return RawFile(format="openpose", people=people, unit=stated_unit(*frames))


def _openpose_joints(person: object, frame: dict) -> tuple[Skeleton | None, np.ndarray | None]:
    if not isinstance(person, dict):
        raise Fault("has a person without pose_keypoints_2d")
    key = "keypoints" if "keypoints" in person and "pose_keypoints_2d" not in person else (
        "pose_keypoints_2d")
    values = person.get(key)
    if key in person and not values:
        return None, None
    names = _names(person, frame)
    if names is None and key == "pose_keypoints_2d":
        values = _triples(values, key)
        if len(values) == 25:
            values = values[_OF_BODY25]
        if len(values) != len(OPENPOSE18):
            raise Fault(f"has {len(values)} joints where OpenPose has 18 or 25")
        return OPENPOSE18, values
    return _joints(values, key, names, spelled(person))


def _read_landmarks(content: dict, people: object, stem: str) -> RawFile:
    """MediaPipe's normalised landmarks, of one person or of several, beside the picture's size."""
    if isinstance(people, dict):  # as protocol buffers are written
        people = people.get("landmark", people.get("landmarks"))
    if not isinstance(people, list):
        raise Fault("has no list of landmarks")
    people = people if not people or isinstance(people[0], list) else [people]
    size = stated_size(content)

    def joints(person):
        if not person:
            return None, None
        if isinstance(person, list) and _own_names(person):
            return _joints(person, "landmarks", None, {})
        if not isinstance(person, list) or len(person) != len(MEDIAPIPE33):
            raise Fault("has a person without 33 landmarks")
        return MEDIAPIPE33, np.array([_point(point) for point in person])

    return RawFile(format="landmarks", unit=stated_unit(content), offset=0.5, people=[
        _person(stem if len(people) == 1 else f"{stem}:{i}", stem, size, joints, person)
        for i, person in enumerate(people)])


def _read_coco(content: dict, stem: str) -> RawFile:
    """COCO keypoints, and what is written like them: Halpe, COCO-WholeBody, MMPose, TF.js."""
    rows = content["annotations"]
    if not isinstance(rows, list):
        raise Fault("has no list of annotations")
    images = {str(image["id"]): image for image in _dicts(content, "images") if "id" in image}
    categories = {str(c.get("id")): c for c in _dicts(content, "categories")}
    # One picture of the file has one name, however its annotations and its images call it.
    if rows and not any(isinstance(row, dict) and "keypoints" in row for row in rows):
        raise Fault("has no keypoints in any annotation")
    people = []
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise Fault(f"has no annotation in place {number}")
        image = images.get(str(row.get("image_id")), {})
        name = next((value for value in (image.get("file_name"), row.get("file_name"),
                                         row.get("image_id"), row.get("id"))
                     if value is not None), None)
        size = stated_size(row if row is not content else None, image, content)
        category = categories.get(str(row.get("category_id"))) or (
            next(iter(categories.values())) if len(categories) == 1 else None)
        people.append(_person(
            str(name) if name is not None else stem if len(rows) == 1 else f"{stem}:{number}",
            stem if name is None else str(name), size, _coco_joints, row,
            category, content, number))
    return RawFile(format="coco", people=people, unit=stated_unit(content, *rows))


def _dicts(content: dict, key: str) -> list[dict]:
    values = content.get(key)
    return [v for v in values if isinstance(v, dict)] if isinstance(values, list) else []


def _coco_joints(row: dict, category: dict | None, content: dict,
                 number: int) -> tuple[Skeleton | None, np.ndarray | None]:
    if row.get("keypoints") in (None, [], {}):
        return None, None
    names = _names(*(() if row is content else (row,)), category, content)
    return _joints(row["keypoints"], f"annotation {number}", names, spelled(row))


def _names(*places: dict | None) -> list[str] | None:
    """The names of the joints that the first of some dictionaries states."""
    for place in places:
        for key, value in spelled(place or {}).items():
            if key in _NAMES and isinstance(value, list) and value and all(
                    isinstance(name, str) for name in value):
                return value
    return None


def _own_names(points: list) -> list[str] | None:
    """The names in joints that are dictionaries; None where they have none of their own each."""
    for key in ("name", "part", "joint", "label", "class"):
        told = [point.get(key) if isinstance(point, dict) else None for point in points]
        found = [name for name in told if isinstance(name, str)]
        if len(set(found)) == len(points):
            return found
    return None


def _joints(values: object, what: str, names: Sequence[str] | None,
            row: dict) -> tuple[Skeleton, np.ndarray]:
    """A person's joints, however they are nested, by their names or else by their number."""
    if isinstance(values, dict):
        names, values = list(values), list(values.values())
    if isinstance(values, list) and values and isinstance(values[0], dict):
        names = _own_names(values) or names
        points = np.array([_point(point) for point in values])
    elif isinstance(values, list) and values and isinstance(values[0], list):
        third = next((row[key] for key in _CONFIDENCES if isinstance(row.get(key), list)), None)
        if third is not None and len(numbers(third, what)) != len(values):
            raise Fault(f"has {len(values)} joints and {len(third)} confidences in {what}")
        rows = []
        for number, point in enumerate(values):
            if len(numbers(point, what)) not in (2, 3):
                raise Fault(f"has {len(point)} numbers for a joint in {what}")
            rows.append([*point, 1.0][:3] if third is None else [*point[:2], third[number]])
        points = np.array(rows, np.float64)
    else:
        points = _triples(values, what)
    if names is not None:
        if len(names) != len(points):
            raise Fault(f"has {len(points)} joints in {what} and names {len(names)}")
        skeleton, places = layout_named(names)
        placed = np.zeros((len(skeleton), 3))
        placed[places] = points
        return skeleton, placed
    try:
        skeleton = layout_of(len(points))
    except ValueError as error:
        raise Fault(f"{error}, in {what}") from None
    return skeleton, points[:len(skeleton)]


def _point(point: object) -> list[float]:
    """x, y and the third number of a joint that is a dictionary; 1 where it has no third."""
    if not isinstance(point, dict):
        raise Fault("has a landmark without a number for x")
    position = point.get("position")
    place = position if isinstance(position, dict) else point
    third = next((point[key] for key in _THIRD if point.get(key) is not None), 1.0)
    for name, value in (("x", place.get("x")), ("y", place.get("y")), ("visibility", third)):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Fault(f"has a landmark without a number for {name}")
    return numbers([place["x"], place["y"], third], "a landmark")


def _triples(values: object, what: str) -> np.ndarray:
    values = numbers(values, what)
    if len(values) % 3 or not values:
        raise Fault(f"has {len(values)} numbers in {what}, not three a joint")
    return np.array(values, np.float64).reshape(-1, 3)
