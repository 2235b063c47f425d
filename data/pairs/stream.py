"""From pairs of pictures to an endless, resumable stream of batches."""

from __future__ import annotations

import atexit
import errno
import functools
import weakref
from collections.abc import Iterator, Mapping, Sequence

import grain
import numpy as np
from absl import flags
from jaxtyping import Bool, Int

from repose_jax.common.errors import UserError
from repose_jax.common.processes import end_with_parent
from repose_jax.data.augment.config import AugmentConfig
from repose_jax.data.augment.pair import Posed, augmented
from repose_jax.data.pairs.source import Batch, PairSource
from repose_jax.pose.skeleton import flip_pose


_TRIES = 20
# What the system says where worker processes can have no semaphores or shared memory.
_NO_SHARED_MEMORY = (errno.EROFS, errno.ENOSPC, errno.EACCES, errno.ENOSYS, errno.EMFILE)
_KILLED = "was terminated unexpectedly"  # as Grain tells of a worker process


def examples(source: PairSource, pair_indices: Sequence[int] | Int[np.ndarray, "batch"],
             flip: Bool[np.ndarray, "batch"] | None = None, *, flow: bool = False) -> Batch:
    """The examples of given pairs as one batch.

    Args:
      source: the pictures.
      pair_indices: which of `source.pairs`.
      flip: which examples to mirror, both pictures and poses together; None mirrors none.
      flow: add the true flow; only for a source that knows it.

    Returns:
      {"source", "target": uint8 [B, H, W, 3], "source_pose", "target_pose": float32 [B, J, 3]}, and
      with `flow` "flow": float32 [B, H, W, 2] and "seen": bool [B, H, W], see `TrueFlow`.
    """
    pairs = np.asarray(source.pairs[np.asarray(pair_indices, np.int64)])
    batch = {}
    for column, key in enumerate(("source", "target")):
        numbers = pairs[:, column].tolist()
        images = np.stack([source.image(i) for i in numbers])
        poses = np.stack([source.pose(i) for i in numbers])
        if flip is not None and flip.any():
            images[flip] = images[flip, :, ::-1]
            poses[flip] = flip_pose(poses[flip], source.skeleton, source.size[1])
        batch[key], batch[f"{key}_pose"] = images, poses
    if flow:
        true = [source.flow(*pair) for pair in pairs.tolist()]
        moves, seen = (np.stack([getattr(one, part) for one in true]) for part in ("flow", "seen"))
        if flip is not None and flip.any():
            moves[flip] = moves[flip, :, ::-1] * np.array([-1, 1], np.float32)
            seen[flip] = seen[flip, :, ::-1]
        batch |= {"flow": moves, "seen": seen}
    return batch


def augmented_examples(
    source: PairSource, pair_indices: Sequence[int] | Int[np.ndarray, "batch"],
    flip: Bool[np.ndarray, "batch"] | None, seeds: Sequence[int] | Int[np.ndarray, "batch"],
    config: AugmentConfig, *, flow: bool = False,
) -> Batch:
    """`examples` with random changes, each example's decided by a seed of its own, 0 or more; `flow`
    where none of them is displacing."""
    batch = examples(source, pair_indices, flip, flow=flow)
    pairs = np.asarray(source.pairs[np.asarray(pair_indices, np.int64)])
    for row, (pair, seed) in enumerate(zip(pairs.tolist(), seeds, strict=True)):
        masks = [source.mask(i) for i in pair]
        if flip is not None and flip[row]:
            masks = [None if mask is None else mask[:, ::-1] for mask in masks]
        other = functools.partial(_other_picture, source=source, person=source.persons[pair[0]])
        changed = augmented(
            *(Posed(batch[key][row], batch[f"{key}_pose"][row], mask)
              for key, mask in zip(("source", "target"), masks, strict=True)),
            source.skeleton, config, int(seed), other)
        for key, posed in zip(("source", "target"), changed, strict=True):
            batch[key][row], batch[f"{key}_pose"][row] = posed.image, posed.pose
    return batch


def _other_picture(rng: np.random.Generator, source: PairSource, person: str) -> np.ndarray:
    """A random picture of somebody else, or of anybody where others are hard to find."""
    for _ in range(_TRIES):
        index = int(rng.integers(len(source)))
        if source.persons[index] != person:
            break
    return source.image(index)


def _draw(pair: int, rng: np.random.Generator, flip: bool, seeded: bool) -> tuple:
    mirrored = bool(rng.random() < 0.5) if flip else False
    return (pair, mirrored, int(rng.integers(2**63))) if seeded else (pair, mirrored)


def _collect(drawn: tuple[np.ndarray, ...], source: PairSource, augment: AugmentConfig,
             flow: bool, rows: slice) -> Batch:
    drawn = tuple(column[rows] for column in drawn)
    if augment.active:
        return augmented_examples(source, *drawn, augment, flow=flow)
    return examples(source, *drawn, flow=flow)


def _no_flip(pair: int) -> tuple[int, bool]:
    return pair, False


class Batches(Iterator[Batch]):
    """An iterator of batches whose state is a position, the same for any number of workers."""

    def __init__(self, drawn: grain.MapDataset, collect: functools.partial[Batch], workers: int,
                 rows: slice = slice(None)):
        """Takes batches of numbers, `_collect` with a source, which makes some `rows=` of a batch of
        them, and its workers."""
        self._drawn, self._collect, self._workers, self._rows = drawn, collect, workers, rows
        self._position, self._running = 0, None
        if workers:
            # Worker processes that outlive the interpreter's modules die with a traceback.
            held = weakref.ref(self)
            atexit.register(lambda: held() is not None and held().close())

    def _start(self) -> Iterator[Batch]:
        stream = self._drawn.map(functools.partial(self._collect, rows=self._rows))
        rest = stream.slice(slice(self._position, None))
        rest = rest.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=4))
        if self._workers:
            # Grain's workers read absl flags, which only an absl program has parsed.
            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()
            rest = rest.mp_prefetch(grain.MultiprocessingOptions(num_workers=self._workers),
                                    worker_init_fn=end_with_parent)
        return iter(rest)

    def __next__(self) -> Batch:
        try:
            if self._running is None:
                self._running = self._start()
            batch = next(self._running)
        except OSError as error:
            if not self._workers or error.errno not in _NO_SHARED_MEMORY:
                raise
            raise UserError("data.workers", f"cannot be started or heard ({error.strerror or error})",
                            "make room in /dev/shm, or give --data.workers 0") from None
        except RuntimeError as error:
            if not self._workers or _KILLED not in str(error):
                raise
            raise UserError("data.workers", "ended without a word, as they do where memory is short",
                            "give fewer; the same command goes on") from None
        self._position += 1
        if self._workers:
            # A worker's arrays lie in shared memory, which should not outlive this step.
            batch = {key: np.array(value) for key, value in batch.items()}
        return batch

    def rows(self, rows: slice) -> Batches:
        """The same batches from here on, of which only these rows are read and come.

        So several processes share the batches of one, whatever their number.
        """
        limited = Batches(self._drawn, self._collect, self._workers, rows)
        limited._position = self._position
        return limited

    def names(self, state: Mapping[str, int]) -> list[str]:
        """"source -> target" of each example, of all rows, of the batch that follows a state."""
        source = self._collect.keywords["source"]
        pairs = source.pairs[np.asarray(self._drawn[int(state["next_batch"])][0], np.int64)]
        return [f"{source.names[a]} -> {source.names[b]}" for a, b in np.asarray(pairs).tolist()]

    def get_state(self) -> dict[str, int]:
        """The position, as JSON can hold it."""
        return {"next_batch": self._position}

    def set_state(self, state: dict[str, int]) -> None:
        """Continues from a position that `get_state` gave for the same data, seed and size."""
        self.close()
        self._position = int(state["next_batch"])

    def close(self) -> None:
        """Ends the threads and processes; the next batch starts them again."""
        if self._running is not None:
            self._running.close()
            self._running = None


def batches(source: PairSource, *, batch_size: int, seed: int, flip: bool = True,
            augment: AugmentConfig = AugmentConfig(), workers: int = 0,
            repeat: bool = True, flow: bool = False) -> Batches:
    """Shuffled batches of pairs.

    An epoch visits every pair of the source once, in an order drawn from the seed and the epoch.
    Grain draws all of it from the element's number, so a position is all the iterator's state:
    `get_state()` gives it, `set_state()` continues from it exactly.

    Args:
      source: the pictures.
      batch_size: examples a batch; batches run on across epochs, so all are full.
      seed: of the order, the flips and the other random changes; 32 bits.
      flip: mirror half of the pairs, with left and right joints changing places.
      augment: further random changes; by default none.
      workers: worker processes; 0 reads in this process.
      repeat: go on for ever; otherwise one epoch, whose last incomplete batch is dropped.
      flow: add the true flow, see `examples`.

    Returns:
      An iterator of batches as `examples` gives them.

    Raises:
      UserError: where there are too few pairs for a batch, or the true flow is not known.
    """
    if batch_size < 1:
        raise UserError("batch_size", f"is {batch_size}", "give 1 or more")
    if flow and not source.has_flow:
        raise UserError("objective.correspondence", "needs to know where each point of a body is",
                        "train on rendered people (--data.path people), or set it to 0")
    if flow and augment.displacing:
        raise UserError("objective.correspondence", "does not know how augmentation moves a body",
                        f"leave out data.augment.{augment.displacing[0]}")
    if not len(source.pairs):
        raise UserError("data", "holds no pair of two pictures of one person",
                        "give more pictures of each, named PERSON_anything, or a larger share")
    if not repeat and len(source.pairs) < batch_size:
        raise UserError("batch_size", f"is {batch_size}, the data has {len(source.pairs)} pairs",
                        "give a smaller batch")
    drawn = grain.MapDataset.range(len(source.pairs)).seed(seed).shuffle()
    seeded = bool(augment.active)
    if flip or seeded:
        drawn = drawn.random_map(functools.partial(_draw, flip=flip, seeded=seeded))
    else:
        drawn = drawn.map(_no_flip)
    if repeat:
        drawn = drawn.repeat()
    # Only numbers are shuffled and batched; the pictures are gathered a batch at a time.
    return Batches(drawn.batch(batch_size, drop_remainder=True),
                   functools.partial(_collect, source=source, augment=augment, flow=flow), workers)
