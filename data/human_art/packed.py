"""HumanSD's packing of Human-Art and Laion-Human (Ju et al., ICCV 2023).

    root/mapping_file_training.json       {key: {"img_path", "pose_path", "prompt"}, ...}
    root/images/.../000000000007.jpg
    root/pose/.../000000000007.npz        arr_0: a list of {"keypoints": [17, 3], ...}, one a person

Paths count from the folder of the mapping file, or from one above it where a mapping file joins
several datasets.
"""

from __future__ import annotations

import os
import pathlib
import pickle
import tokenize
import zipfile

import numpy as np
from jaxtyping import Float

from repose_jax.common.errors import UserError
from repose_jax.data.human_art.annotations import (
    AnnotatedPicture, LeftOut, coco_pose, read_json, split_word)
from repose_jax.data.image.files import image_size
from repose_jax.data.image.findings import refuse_most
from repose_jax.pose.skeleton import COCO17

# What a list of dictionaries of arrays consists of, under NumPy's old names and its new ones.
_HARMLESS = {("numpy", "ndarray"), ("numpy", "dtype")} | {
    (f"numpy.{core}.{module}", name) for core in ("core", "_core") for module, name in (
        ("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))}
_MEND, _PICTURES = "fetch the pose files again", "pictures that cannot be used"


class _PlainUnpickler(pickle.Unpickler):
    """Refuses whatever could run a stranger's code, which `np.load(allow_pickle=True)` would."""

    def find_class(self, module: str, name: str):
        if (module, name) not in _HARMLESS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def mapping_file(root: str | os.PathLike[str], split: str) -> pathlib.Path | None:
    """The mapping file of "train" or "test"; None where there is none.

    HumanSD's README calls it mapping_file_training.json, its settings mapping_train.json.
    """
    word = split_word(split)
    found = [path for stem in ("mapping_file_", "mapping_") for name in (word, word[:5])
             if (path := pathlib.Path(root) / f"{stem}{name}.json").is_file()]
    return found[0] if found else None


def load_humansd(root: str | os.PathLike[str], split: str = "train", *,
                 left_out: LeftOut | None = None) -> tuple[AnnotatedPicture, ...]:
    """Loads a split that HumanSD packed; of the pictures only the headers are read.

    The scenario is the picture's folder, the description the prompt. A person's box is the
    smallest around the known joints, the area that of the file, or of the box where it has none.
    What cannot be used is left out and added to `left_out`; without it the first is refused.

    Raises:
      UserError: for a file that cannot be used or is missing.
    """
    path = mapping_file(root, split)
    if path is None:
        raise UserError(root, f"has no mapping file for {split}",
                        f"add mapping_file_{split_word(split)}.json")
    pictures = []
    for key, entry in read_json(path).items():
        try:
            pictures.append(_picture(path, key, entry))
        except UserError as error:
            if left_out is None:
                raise
            left_out.setdefault(_PICTURES, []).append(
                f"{key} ({os.path.basename(error.where)} {error.what})")
    refuse_most(path, (left_out or {}).get(_PICTURES, ()), len(pictures), "pictures")
    return tuple(pictures)


def _picture(path: pathlib.Path, key: str, entry: object) -> AnnotatedPicture:
    """The picture of an entry of a mapping file."""
    if not isinstance(entry, dict) or not {"img_path", "pose_path"} <= entry.keys():
        raise UserError(path, f"has no img_path and pose_path for {key}",
                        "give HumanSD's own mapping file")
    image, pose = (_locate(path, str(entry[name])) for name in ("img_path", "pose_path"))
    people, areas = read_packed_poses(pose)
    boxes = np.array([_box(person) for person in people], np.float32).reshape(-1, 4)
    areas = np.where(np.isnan(areas), boxes[:, 2] * boxes[:, 3], areas)
    return AnnotatedPicture(
        path=image, size=image_size(image), scenario=image.parent.name,
        description=str(entry.get("prompt") or ""), people=people, boxes=boxes, areas=areas,
        number=key)


def read_packed_poses(path: str | os.PathLike[str]) -> tuple[
        Float[np.ndarray, "n 17 3"], Float[np.ndarray, "n"]]:
    """Reads a pose file, never running code that it may hold.

    Returns:
      Poses in skeleton coco17, x, y in pixels and a confidence in [0, 1], and the area of each
      person in square pixels, NaN where the file does not tell it.

    Raises:
      UserError: where the file is missing, broken, or holds anything but lists of numbers.
    """
    path = pathlib.Path(path)
    try:
        with zipfile.ZipFile(path) as archive, archive.open("arr_0.npy") as file:
            version = np.lib.format.read_magic(file)
            read_header = {(1, 0): np.lib.format.read_array_header_1_0,
                           (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, _, dtype = read_header(file)
            # NumPy writes an empty list as an array without a pickle.
            people = ([] if not dtype.hasobject and not np.prod(shape)
                      else list(np.ravel(_PlainUnpickler(file).load())))
    except FileNotFoundError:
        raise UserError(path, "does not exist", _MEND) from None
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError,
            AttributeError, IndexError, MemoryError, OverflowError, RecursionError,
            tokenize.TokenError, pickle.UnpicklingError) as error:
        raise UserError(path, f"cannot be read as a pose file ({error})", _MEND) from None
    if not all(isinstance(person, dict) for person in people):
        raise UserError(path, "has no list of people", _MEND)
    poses = [coco_pose(path, person.get("keypoints"), f"person {number}")
             for number, person in enumerate(people)]
    try:
        areas = [float(person.get("area", np.nan)) for person in people]
    except (TypeError, ValueError, OverflowError):
        raise UserError(path, "has an area that is not a number", _MEND) from None
    return (np.array(poses, np.float32).reshape(-1, len(COCO17), 3),
            np.array(areas, np.float32))


def _box(person: Float[np.ndarray, "17 3"]) -> np.ndarray:
    known = person[person[:, 2] > 0, :2]
    if not len(known):
        return np.zeros(4)
    return np.concatenate([known.min(0), np.ptp(known, axis=0)])


def _locate(mapping: pathlib.Path, file: str) -> pathlib.Path:
    near, above = mapping.parent / file, mapping.parent.parent / file
    return above if above.is_file() and not near.is_file() else near
