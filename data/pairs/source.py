"""Pictures of people with poses, and which two pictures make a training pair."""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, UInt8

from repose_jax.common.errors import UserError
from repose_jax.data.image.files import StoredPictures
from repose_jax.pose.skeleton import Skeleton

Batch = Mapping[str, np.ndarray]


class Chosen:
    """Reads picture `chosen[i]` of another source as picture i; picklable."""

    def __init__(self, read: Callable[[int], np.ndarray], chosen: Int32[np.ndarray, "n"]):
        self._read, self._chosen = read, chosen

    def __call__(self, index: int) -> np.ndarray:
        return self._read(int(self._chosen[index]))

    def deciding(self, index: int) -> bytes:
        """What decides picture `index`, see `deciding`."""
        return deciding(self._read, int(self._chosen[index]))


class TrueFlow(NamedTuple):
    """The true flow between two pictures of a person.

    Attributes:
      flow: from each pixel of the target to where the source has the same point of the body,
        (dx, dy) in pixels; 0 where the target shows no body.
      seen: whether both pictures show that point.
      body: whether the target shows the body there.
    """

    flow: Float32[np.ndarray, "height width 2"]
    seen: Bool[np.ndarray, "height width"]
    body: Bool[np.ndarray, "height width"]


def _between(read: Callable[[int, int], TrueFlow], chosen: Int32[np.ndarray, "n"], source: int,
             target: int) -> TrueFlow:
    return read(int(chosen[source]), int(chosen[target]))


def deciding(read: Callable[[int], np.ndarray], index: int) -> bytes:
    """What decides a picture of a size: a reader's own word, or else the pixels.

    A reader's word is its method of this name: a file's content says as much as its pixels and is
    there without decoding it.
    """
    told = getattr(read, "deciding", None)
    return read(index).tobytes() if told is None else told(index)


class OrderedPairs:
    """All (source, target) pairs of two different pictures of one person, computed when asked.

    n pictures of a person make n (n - 1) pairs; only one number a picture is held in memory.
    Indexing with an integer, a slice or an integer array gives int32 [..., 2].
    """

    def __init__(self, persons: Sequence[str]):
        """Takes the person of each picture, in the order of the pictures."""
        _, label = np.unique(np.asarray(persons, dtype=str), return_inverse=True)
        self._images = np.argsort(label, kind="stable").astype(np.int32)
        self._counts = np.bincount(label, minlength=1).astype(np.int64)
        self._first_image = np.cumsum(self._counts) - self._counts
        self._last_pair = np.cumsum(self._counts * (self._counts - 1))

    def __len__(self) -> int:
        return int(self._last_pair[-1])

    def __getitem__(self, index) -> Int32[np.ndarray, "*shape 2"]:
        if isinstance(index, slice):
            index = np.arange(*index.indices(len(self)))
        index = np.asarray(index, np.int64)
        if index.size and (index.min() < -len(self) or index.max() >= len(self)):
            raise IndexError(f"pair index outside of {len(self)} pairs")
        index = np.where(index < 0, index + len(self), index)
        person = np.searchsorted(self._last_pair, index, side="right")
        others = self._counts[person] - 1
        source, target = np.divmod(index - self._last_pair[person] + (others + 1) * others, others)
        target = target + (target >= source)
        first = self._first_image[person]
        return np.stack([self._images[first + source], self._images[first + target]], axis=-1)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self[:].astype(dtype or np.int32)


class PairSource:
    """Random access to the pictures and poses of people, and to the pairs among them.

    Attributes:
      skeleton: the skeleton of the poses.
      size: (height, width) of every picture.
      names: file name or other label of each picture.
      persons: whose picture it is, as text.
      poses: [N, J, 3], x and y in pixels and a visibility.
      pairs: int32 [P, 2] picture numbers, columns source and target; an array or `OrderedPairs`.
      given_pairs: `pairs` where they were given, else None.
      cameras: number of the camera of each picture, int [N]; None where they are not known.
      cached: whether decoded pictures are kept in memory.
      notes: one sentence for each thing that was left out while loading.
      left_out: names of the pictures and rows that were left out, by the reason.
    """

    def __init__(
        self,
        *,
        skeleton: Skeleton,
        size: tuple[int, int],
        names: Sequence[str],
        persons: Sequence[str],
        poses: Float[np.ndarray, "n joints 3"] | None,
        read: Callable[[int], UInt8[np.ndarray, "height width 3"]],
        pairs: Int32[np.ndarray, "p 2"] | OrderedPairs | None = None,
        cache: bool = True,
        notes: Sequence[str] = (),
        left_out: Mapping[str, Sequence[str]] | None = None,
        cameras: Sequence[int] | None = None,
        read_mask: Callable[[int], Bool[np.ndarray, "height width"]] | None = None,
        read_flow: Callable[[int, int], TrueFlow] | None = None,
    ):
        """Args:
          skeleton, size, names, persons, notes, left_out, cameras: see the class.
          poses: see the class; None where a subclass makes them.
          read: gives picture i; must be picklable to serve worker processes.
          pairs: explicit pairs; None means all ordered pairs of one person.
          cache: keep decoded pictures in memory (3 H W bytes each; each worker has its own).
          read_mask: gives the mask of the person in picture i, picklable; None where there are no
            masks, which augmentation then makes from the poses. None of the layouts has masks.
          read_flow: gives the true flow between pictures i and j of one person, picklable; None where
            it is not known, as everywhere but for rendered people.
        """
        self.skeleton, self.size, self.notes = skeleton, tuple(size), tuple(notes)
        self.names, self.persons = tuple(names), tuple(persons)
        if poses is not None:
            self.poses = np.asarray(poses, np.float32)
        self._read, self.cached, self._read_mask = read, cache, read_mask
        self._read_flow = read_flow
        self.given_pairs = pairs
        self.left_out = {why: tuple(names) for why, names in (left_out or {}).items() if names}
        self.cameras = None if cameras is None else np.asarray(cameras, np.int32)

    def __len__(self) -> int:
        return len(self.names)

    def __getstate__(self) -> dict:
        drop = ("_cache", "pairs")
        return {key: value for key, value in self.__dict__.items() if key not in drop}

    def with_pairs(self, pairs: Int32[np.ndarray, "p 2"] | OrderedPairs) -> PairSource:
        """The same pictures, sharing those that are in memory, with other pairs."""
        other = copy.copy(self)
        other.__dict__.pop("identity", None)
        other.given_pairs = other.__dict__["pairs"] = pairs
        return other

    def only(self, chosen: Int32[np.ndarray, "n"]) -> PairSource:
        """Some of the pictures, in the given order, and the pairs among them."""
        chosen, pairs = np.asarray(chosen, np.int32), None
        if self.given_pairs is not None:
            place = np.full(len(self), -1, np.int32)
            place[chosen] = np.arange(len(chosen), dtype=np.int32)
            pairs = place[np.asarray(self.given_pairs)]
            pairs = pairs[(pairs >= 0).all(1)]
        return PairSource(
            skeleton=self.skeleton, size=self.size, names=[self.names[i] for i in chosen],
            persons=[self.persons[i] for i in chosen], poses=self.poses[chosen],
            read=Chosen(self._read, chosen), pairs=pairs, cache=self.cached, notes=self.notes,
            left_out=self.left_out,
            cameras=None if self.cameras is None else self.cameras[chosen],
            read_mask=Chosen(self._read_mask, chosen) if self.has_masks else None,
            read_flow=functools.partial(_between, self._read_flow, chosen) if self.has_flow else None)

    @property
    def stored(self) -> StoredPictures | None:
        """The files that the pictures are read from; None where they come from elsewhere."""
        return self._read if isinstance(self._read, StoredPictures) else None

    @property
    def has_masks(self) -> bool:
        """Whether masks of the people were given."""
        return self._read_mask is not None

    @property
    def has_flow(self) -> bool:
        """Whether the true flow between two pictures of a person is known."""
        return self._read_flow is not None

    @functools.cached_property
    def pairs(self) -> Int32[np.ndarray, "p 2"] | OrderedPairs:
        return OrderedPairs(self.persons) if self.given_pairs is None else self.given_pairs

    @functools.cached_property
    def _cache(self) -> tuple[np.ndarray, np.ndarray]:
        # np.empty takes memory only where it is written, so a partly used cache is cheap.
        return np.empty((len(self), *self.size, 3), np.uint8), np.zeros(len(self), bool)

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """Picture `index`, RGB."""
        if not self.cached:
            return self._read_whole(index)
        pictures, present = self._cache
        if not present[index]:
            pictures[index] = self._read_whole(index)
            present[index] = True
        return pictures[index]

    def _read_whole(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        picture = self._read(int(index))
        if picture.shape[:2] != self.size:
            raise UserError(self.names[index], "has the size {} x {} where the others have {} x {}"
                            .format(*picture.shape[:2], *self.size), "give pictures of one size")
        return picture

    def mask(self, index: int) -> Bool[np.ndarray, "height width"] | None:
        """Where the person of picture `index` is, if masks were given."""
        return None if self._read_mask is None else self._read_mask(int(index))

    def flow(self, source: int, target: int) -> TrueFlow:
        """Where picture `source` shows what `target` shows of their person.

        Raises:
          ValueError: it is not known, or they show two people.
        """
        if self._read_flow is None:
            raise ValueError("the true flow between these pictures is not known")
        return self._read_flow(int(source), int(target))

    def pose(self, index: int) -> Float[np.ndarray, "joints 3"]:
        """Pose of picture `index`."""
        return self.poses[index]

    @functools.cached_property
    def identity(self) -> dict[str, str]:
        """SHA-256 of all that can be learnt from these data, wherever they lie: "names" (with
        persons and given pairs), "poses" and "pictures".

        Reads every picture's file, once.
        """
        names = hashlib.sha256(repr((self.names, self.persons)).encode())
        if self.given_pairs is not None:
            names.update(np.ascontiguousarray(self.given_pairs, np.int32).tobytes())
        skeleton = repr((self.skeleton.name, self.skeleton.joints))
        poses = hashlib.sha256(skeleton.encode() + self.poses.tobytes())
        pictures = hashlib.sha256(repr(self.size).encode())
        for index in range(len(self)):
            pictures.update(hashlib.sha256(deciding(self._read, index)).digest())
        return {"names": names.hexdigest(), "poses": poses.hexdigest(),
                "pictures": pictures.hexdigest()}

    def __getitem__(self, index: int) -> dict:
        return {"image": self.image(index), "pose": self.pose(index),
                "name": self.names[index], "person": self.persons[index]}
