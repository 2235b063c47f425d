"""People in array_record files, written by TensorFlow Datasets and read without TensorFlow."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8

from repose_jax.common.errors import UserError
from repose_jax.data.image.files import read_image
from repose_jax.data.pairs.cameras import cameras_of
from repose_jax.data.pairs.source import PairSource
from repose_jax.data.records.locate import find_built
from repose_jax.pose.skeleton import OPENPOSE18, SKELETONS, Skeleton


# What features.json may name. TFDS imports the module of any other class that stands there.
_FEATURES = "tensorflow_datasets.core.features."


@contextlib.contextmanager
def reading(where: str | os.PathLike[str]) -> Iterator[None]:
    """Says in a line what cannot be read within the block."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # TFDS passes on what its parsers of JSON, messages and records raise
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise UserError(where, f"is broken ({first})", "build it anew") from None


def person_features(skeletons: Sequence[Skeleton]) -> tfds.features.FeaturesDict:
    """What every dataset of people stores for a picture."""
    return tfds.features.FeaturesDict({
        "image": tfds.features.Image(shape=(None, None, 3)),
        "poses": {s.name: tfds.features.Tensor(shape=(len(s), 3), dtype=np.float32)
                  for s in skeletons},
        "name": tfds.features.Text(),
        "person": tfds.features.Text(),
    })


class RecordImages:
    """Picture i of a built dataset; picklable, opens its files where it is used."""

    def __init__(self, folder: str, split: str):
        self._folder, self._split, self._records = folder, split, None
        self._files: list[str] = []
        self._ends: np.ndarray = np.zeros(0)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_records": None}

    def record(self, index: int) -> dict:
        """The stored example, its picture still encoded.

        Raises:
          UserError: it cannot be read; names the file.
        """
        if self._records is None:
            with reading(self._folder):
                _check_features(self._folder)
                builder = tfds.builder_from_directory(self._folder)
                split = builder.info.splits[self._split]
                self._files = [os.fspath(path) for path in split.filepaths]
                self._ends = np.cumsum(split.shard_lengths)
                self._records = builder.as_data_source(
                    self._split, decoders={"image": tfds.decode.SkipDecoding()})
        file = int(np.searchsorted(self._ends, index, side="right"))
        with reading(self._files[file] if file < len(self._files) else self._folder):
            return self._records[index]

    def __call__(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        return self.decode(self.record(index))

    def deciding(self, index: int) -> bytes:
        """What decides picture `index`: the stored file."""
        return self.record(index)["image"]

    def decode(self, record: dict) -> UInt8[np.ndarray, "height width 3"]:
        """The picture of a record; UserError where it is broken."""
        name = record["name"].decode(errors="replace")
        return read_image(f"{self._folder} ({name})", record["image"])


def _check_features(folder: str | os.PathLike[str]) -> None:
    """Refuses a dataset whose features would make TFDS import what is not its own.

    Raises:
      UserError: names the class; other errors for a file that is not JSON.
    """
    path = pathlib.Path(folder, "features.json")
    todo: list[Any] = [json.loads(path.read_bytes())]
    while todo:
        here = todo.pop()
        for key, value in here.items() if isinstance(here, dict) else ():
            # "type" and "proto_cls" are what older versions name classes by.
            if key in ("type", "proto_cls") or key == "pythonClassName" and not (
                    isinstance(value, str) and value.startswith(_FEATURES)):
                raise UserError(path, f"asks for {value!r:.80}, which is no feature of TFDS",
                                "use a dataset that repose data build made")
        todo += here.values() if isinstance(here, dict) else here if isinstance(here, list) else ()


def stored_skeletons(folder: str | os.PathLike[str]) -> list[str]:
    """Names of the skeletons whose poses a built dataset has."""
    return list(_open_pairs(folder)[1].info.features["poses"])


def stored_notes(folder: str | os.PathLike[str]) -> dict[str, list[str]]:
    """What was left out when a dataset was built: sentences for each split."""
    return dict((open_built(folder)[1].info.metadata or {}).get("notes", {}))


def _open_pairs(folder: str | os.PathLike[str], split: str | None = None
                ) -> tuple[pathlib.Path, tfds.core.DatasetBuilder]:
    path, builder = open_built(folder, split)
    if "scenario" in builder.info.features:
        raise UserError(path, "is Human-Art, which has no two pictures of one person",
                        "read it with repose_jax.data.human_art.built, and train on pairs")
    if "poses" not in builder.info.features:
        raise UserError(path, "is not a dataset of people", "build one: repose data build")
    return path, builder


def open_built(folder: str | os.PathLike[str], split: str | None = None
               ) -> tuple[pathlib.Path, tfds.core.DatasetBuilder]:
    """Finds a built dataset in or below a folder and reads what it tells of itself.

    Raises:
      UserError: where there is none or several, it cannot be read, or lacks the split.
    """
    path = find_built(folder)
    if path is None:
        raise UserError(folder, "holds no built dataset", "build one: repose data build")
    with reading(path):
        _check_features(path)
        builder = tfds.builder_from_directory(path)
        splits = list(builder.info.splits)
        metadata = builder.info.metadata or {}
        if not all(isinstance(metadata.get(key, {}), dict) for key in ("notes", "pairs")):
            raise ValueError("its notes or pairs are of no split")
    if split is not None and split not in splits:
        raise UserError(path, f"has no split {split}", f"it has {', '.join(splits)}")
    return path, builder


def load_array_record(folder: str | os.PathLike[str], split: str = "train", *,
                      skeleton: str | None = None, cache: bool = True) -> PairSource:
    """Loads a split of a dataset that `build` wrote.

    Args:
      folder: the folder that holds dataset_info.json, or one above it.
      split: "train" or "test".
      skeleton: which of the stored poses; None takes openpose18, or the only
        one there is.
      cache: keep decoded pictures in memory.
    """
    path, builder = _open_pairs(folder, split)
    stored = [name for name in builder.info.features["poses"] if name in SKELETONS]
    if not stored:
        raise UserError(path, "has poses of no skeleton that is known", "build it anew")
    if skeleton is None:
        skeleton = OPENPOSE18.name if OPENPOSE18.name in stored else stored[0]
    if skeleton not in stored:
        raise UserError("skeleton", f"is {skeleton}, {path} has {', '.join(stored)}",
                        "choose one of these")
    images = RecordImages(os.fspath(path), split)
    names, persons, poses = [], [], []
    for i in range(builder.info.splits[split].num_examples):
        record = images.record(i)
        with reading(path):
            names.append(record["name"].decode())
            persons.append(record["person"].decode())
            poses.append(_pose(record["poses"][skeleton], SKELETONS[skeleton]))
    metadata = builder.info.metadata or {}
    with reading(path):
        listed = metadata.get("pairs", {}).get(split)
        pairs = None
        if listed is not None:
            index = {name: i for i, name in enumerate(names)}
            pairs = np.array([[index[a], index[b]] for a, b in listed], np.int32).reshape(-1, 2)
        notes = [str(note) for note in metadata.get("notes", {}).get(split, ())]
        cameras = cameras_of(names)
    return PairSource(
        skeleton=SKELETONS[skeleton], size=images(0).shape[:2], names=names, persons=persons,
        poses=np.stack(poses), read=images, pairs=pairs, cache=cache, notes=notes, cameras=cameras)


def _pose(pose: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    if pose.shape != (len(skeleton), 3) or not np.isfinite(pose).all():
        raise ValueError(f"a pose of {skeleton.name} has the shape {pose.shape} or is not finite")
    return pose
