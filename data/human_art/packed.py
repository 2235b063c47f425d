"""HumanSD's packing of Human-Art and Laion-Human (Ju et al., ICCV 2023).

    root/mapping_file_training.json       {key: {"img_path", "pose_path", "prompt"}, ...}
    root/images/.../000000000007.jpg
    root/pose/.../000000000007.npz        arr_0: a list of {"keypoints": [17, 3], ...}, one a person

Paths count from the folder of the mapping file, or from one above it where a mapping file joins
several datasets.
"""

from __future__ import annotations

import io
import math
import os
import pathlib
import pickle
import re
import tokenize
import warnings
import zipfile
import zlib
from typing import IO

import numpy as np
from jaxtyping import Float

from repose_jax.common.arrays import check_compression
from repose_jax.common.errors import UserError
from repose_jax.common.pickle_steps import AsksTooMuch, BoundedUnpickler, check_steps
from repose_jax.data.human_art.annotations import (
    AnnotatedPicture, LeftOut, coco_pose, read_json, split_word)
from repose_jax.data.image.files import image_size
from repose_jax.data.image.findings import refuse_most
from repose_jax.pose.skeleton import COCO17

_MEND, _PICTURES = "fetch the pose files again", "pictures that cannot be used"
_MOST_BYTES = 4_000_000
"""Of a pose file's array, unpacked; a person takes less than a thousand."""
_MOST_STEPS = 200_000
_NUMBERS = re.compile(r"[biuf][1248]|f16|[SU]\d{1,6}")
_TOO_MUCH = "an array whose bytes or things are not as many as its shape says"


class _Type:
    """Stands for a NumPy type: NumPy's own could be changed by a pickle, for the whole process."""

    def __init__(self, code: str, *_more: object):
        self.is_object = code in ("O", "O8")
        if not self.is_object and not (isinstance(code, str) and _NUMBERS.fullmatch(code)):
            raise pickle.UnpicklingError(f"it has an array of type {code!r:.20}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array that takes no more memory than what it is filled with."""

    def __setstate__(self, state: tuple) -> None:
        version, shape, kind, fortran, content = state
        if not isinstance(kind, _Type) or not _fits(shape, kind, content):
            raise pickle.UnpicklingError(f"it has {_TOO_MUCH}")
        super().__setstate__((version, shape, kind.dtype, fortran, content))


def _fits(shape: object, kind: _Type, content: object) -> bool:
    if not isinstance(shape, tuple) or len(shape) > 8 or not all(
            type(n) is int and 0 <= n < 2**32 for n in shape):
        return False
    if not isinstance(content, list if kind.is_object else (bytes, bytearray)):
        return False
    return math.prod(shape) * (1 if kind.is_object else kind.dtype.itemsize) == len(content)


def _reconstruct(*_like: object) -> np.ndarray:
    return np.ndarray.__new__(_Array, (0,), np.int8)


def _scalar(kind: _Type, content: bytes) -> object:
    return _frombuffer(content, kind, (), "C")[()]


def _frombuffer(content: bytes, kind: _Type, shape: tuple, order: str) -> np.ndarray:
    if kind.is_object or not _fits(shape, kind, content):
        raise pickle.UnpicklingError(f"it has {_TOO_MUCH}")
    return np.frombuffer(content, kind.dtype).reshape(shape, order=order)


def _array_class(*_arguments: object) -> None:
    raise pickle.UnpicklingError("it makes an array of a size of its own")


# What a list of dictionaries of arrays consists of, under NumPy's old names and its new ones.
_KNOWN = {"numpy.ndarray": _array_class, "numpy.dtype": _Type} | {
    f"numpy.{core}.{name}": found for core in ("core", "_core") for name, found in (
        ("multiarray._reconstruct", _reconstruct), ("multiarray.scalar", _scalar),
        ("numeric._frombuffer", _frombuffer))}


class _PlainUnpickler(BoundedUnpickler):
    """Knows a few names, each a function of this file; a stranger's code cannot be named."""

    def find_class(self, module: str, name: str):
        known = _KNOWN.get(f"{module}.{name}")
        return super().find_class(module, name) if known is None else known


def _people(file: IO[bytes]) -> list:
    """What the pickle at a file's place holds, once it is known to ask for little."""
    data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise AsksTooMuch(f"has more than {_MOST_BYTES} bytes")
    steps = io.BytesIO(data)
    check_steps(steps, _MOST_STEPS)
    content = _PlainUnpickler(steps).load()
    return list(np.ravel(content)) if isinstance(content, np.ndarray) else content


def _few(values: object, room: int = 200) -> int:
    """What is left of `room` once the numbers are counted; a list may hold another many times."""
    if isinstance(values, np.ndarray) and not values.dtype.hasobject:
        return room - values.size - 1
    room -= 1
    if isinstance(values, (list, tuple, np.ndarray)):
        for value in values:
            if room < 0:
                break
            room = _few(value, room)
    return room


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
        with zipfile.ZipFile(path) as archive:
            check_compression(archive)
            with warnings.catch_warnings(action="ignore"), archive.open("arr_0.npy") as file:
                version = np.lib.format.read_magic(file)
                read_header = {(1, 0): np.lib.format.read_array_header_1_0,
                               (2, 0): np.lib.format.read_array_header_2_0}[version]
                shape, _, dtype = read_header(file)
                # NumPy writes an empty list as an array without a pickle.
                people = [] if not dtype.hasobject and not np.prod(shape) else _people(file)
        if not isinstance(people, list) or not all(type(p) is dict for p in people):
            raise UserError(path, "has no list of people", _MEND)
        if any(_few(person.get("keypoints")) < 0 for person in people):
            raise UserError(path, "has more than the numbers of a pose for a person", _MEND)
    except FileNotFoundError:
        raise UserError(path, "does not exist", _MEND) from None
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError,
            AttributeError, IndexError, MemoryError, OverflowError, RuntimeError, zlib.error,
            tokenize.TokenError, pickle.UnpicklingError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise UserError(path, f"cannot be read as a pose file ({first})", _MEND) from None
    poses = [coco_pose(path, person.get("keypoints"), f"person {number}")
             for number, person in enumerate(people)]
    try:
        areas = [float(person.get("area", np.nan)) for person in people]
    except (TypeError, ValueError, OverflowError, RecursionError):
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
