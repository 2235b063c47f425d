"""One door to every dataset: a word or a folder, recognised by what is in it."""

from __future__ import annotations

import copy
import os
import pathlib

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.data.deepfashion.annotations import is_deepfashion
from repose_jax.data.deepfashion.layout import load_deepfashion
from repose_jax.data.human_art.annotations import is_human_art
from repose_jax.data.image.resize import fit_pose, letterbox
from repose_jax.data.market1501.layout import load_layout, load_market1501, plain_annotation
from repose_jax.data.pairs.source import PairSource, deciding
from repose_jax.data.records.locate import find_built
from repose_jax.pose.formats import convert
from repose_jax.pose.skeleton import SKELETONS


def open_dataset(data: str | os.PathLike[str], split: str = "train", *,
                 skeleton: str | None = None, size: tuple[int, int] | None = None,
                 cache: bool = True, **people) -> PairSource:
    """Opens a dataset for training or evaluation.

    Args:
      data: "people" for rendered people; or a folder: of a dataset that was built, in a layout of
        DeepFashion or of Market-1501, or of pictures with one annotation CSV among them (all of it
        "train").
      split: "train" or "test".
      skeleton: name of the skeleton of the poses; they are converted by joint names where the
        data has another. None keeps the data's.
      size: (height, width) to which pictures are resized and padded; None keeps the data's.
      cache: keep decoded pictures in memory.
      **people: only for "people": the arguments of `rendered_people`.

    Raises:
      UserError: where it is none of these, or something in it cannot be used.
    """
    if split not in ("train", "test"):
        raise UserError("split", f"is {split}", "choose train or test")
    if skeleton is not None and skeleton not in SKELETONS:
        raise UserError("skeleton", f"is {skeleton}", f"choose one of {', '.join(SKELETONS)}")
    if os.fspath(data) == "people":
        from repose_jax.data.people.source import rendered_people
        extra = {"skeleton": skeleton, "size": size}
        return rendered_people(split=split, cache=cache,
                               **{k: v for k, v in extra.items() if v is not None}, **people)
    if people:
        raise UserError(data, f"does not take {', '.join(people)}", "these are for people")
    folder = pathlib.Path(data)
    if not folder.is_dir():
        raise UserError(folder, "is neither a folder nor the name of a dataset",
                        "give people or a folder")
    if is_deepfashion(folder):
        source = load_deepfashion(folder, split, size=size, cache=cache)
    elif is_human_art(folder):
        raise UserError(folder, "is Human-Art, which has no two pictures of one person",
                        "read it with repose_jax.data.human_art, and train on pairs")
    elif any((folder / name).is_dir() for name in ("bounding_box_train", "train")):
        source = load_market1501(folder, split, size=size, cache=cache)
    elif find_built(folder):
        source = _open_built(folder, split, skeleton, cache)
    elif split == "test":
        raise UserError(folder, "is a plain folder, which has no test split",
                        "use the Market-1501 layout")
    else:
        source = load_layout(folder, plain_annotation(folder), size=size, cache=cache)
    if size is not None and source.size != tuple(size):
        source = resized(source, size)
    if skeleton is not None and source.skeleton.name != skeleton:
        source = with_skeleton(source, skeleton)
    return source


def _open_built(folder: pathlib.Path, split: str, skeleton: str | None,
                cache: bool) -> PairSource:
    # TensorFlow Datasets takes seconds to import, which a plain folder does not need.
    from repose_jax.data.records.array_record import load_array_record, stored_skeletons
    stored = stored_skeletons(folder)
    return load_array_record(folder, split, cache=cache,
                             skeleton=skeleton if skeleton in stored else None)


def with_skeleton(source: PairSource, skeleton: str) -> PairSource:
    """The same pictures with the poses of another skeleton, by the names of the joints."""
    other = copy.copy(source)
    other.__dict__.pop("identity", None)
    other.poses, lost = convert(source.poses, source.skeleton, SKELETONS[skeleton])
    other.skeleton = SKELETONS[skeleton]
    note = f"poses converted from {source.skeleton.name} to {skeleton}"
    other.notes = (*source.notes, note + (f", which lack {', '.join(lost)}" if lost else ""))
    return other


class _Letterboxed:
    """Picture i of a source, resized and padded; picklable."""

    def __init__(self, source: PairSource, size: tuple[int, int]):
        self._source, self._size = source, size

    def __call__(self, index: int):
        return letterbox(self._source.image(index), None, self._size)[0]

    def deciding(self, index: int) -> bytes:
        """What decides picture `index`: the picture before."""
        return deciding(self._source._read, index)


class _LetterboxedMask(_Letterboxed):
    """Mask i of a source, resized and padded as its picture; picklable."""

    def __call__(self, index: int):
        mask = self._source.mask(index).astype(np.uint8) * np.uint8(255)
        return letterbox(np.repeat(mask[..., None], 3, axis=2), None, self._size)[0][..., 0] > 127


def resized(source: PairSource, size: tuple[int, int]) -> PairSource:
    """The same pictures and poses resized and padded to (height, width)."""
    note = f"pictures of {source.size[0]}x{source.size[1]} are resized and padded"
    inner = copy.copy(source)
    inner.cached = False
    return PairSource(
        skeleton=source.skeleton, size=size, names=source.names, persons=source.persons,
        poses=fit_pose(source.poses, source.size, size), read=_Letterboxed(inner, tuple(size)),
        pairs=source.given_pairs, cache=source.cached, notes=(*source.notes, note),
        cameras=source.cameras,
        read_mask=_LetterboxedMask(inner, tuple(size)) if source.has_masks else None)
