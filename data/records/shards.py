"""The records of a split, prepared in parts: a build that is stopped goes on from what was done.

    folder/train-00003.array_record     the records of one part
    folder/train-00003.json             of what they were made, their digests, what was left out

A part counts as done once its JSON is there, which is written last, and only for the very same
records. Importing this module does not import TensorFlow Datasets, which each worker would wait for.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import itertools
import json
import multiprocessing
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

import numpy as np
from array_record.python import array_record_module

from repose_jax.common.errors import UserError
from repose_jax.common.files import write_content
from repose_jax.common.interrupts import remembered_interrupts
from repose_jax.common.processes import end_with_parent

Record = Mapping[str, object]
SIZE = 1024  # records a part: at most so many are lost to a plug that is pulled
_AHEAD = 8  # records a worker that wait to be written


class Records(Protocol):
    """The records that a split shall hold; picklable, as worker processes prepare them."""

    def __len__(self) -> int: ...

    def __call__(self, index: int) -> Record:
        """Record `index`, its picture encoded; UserError where the picture cannot be used."""

    def name(self, index: int) -> str:
        """What record `index` is called where it has to be left out."""

    def identity(self, index: int) -> str:
        """What record `index` follows from, cheaply: prepared anew where this has changed."""

    def counts(self, kept: list[int]) -> dict[str, int]:
        """How many people, and pairs where all are meant, the records `kept` hold."""


class Part(NamedTuple):
    """A part that is done.

    Attributes:
      file: its array_record file; None where every record had to be left out.
      kept: numbers of the records in it.
      digests: of these records, see `record_digest`.
      left_out: why each of the other records could not be used, by its number.
    """

    file: pathlib.Path | None
    kept: list[int]
    digests: list[str]
    left_out: dict[int, str]


def record_digest(record: Record) -> str:
    """SHA-256 of a record's values, the same for what is written and what is read back."""
    digest = hashlib.sha256()

    def add(value: object) -> None:
        if isinstance(value, Mapping):
            for key in sorted(value):
                add(key)
                add(value[key])
            return
        if isinstance(value, np.ndarray):
            add(f"{value.dtype.name} {value.shape}")
            value = np.ascontiguousarray(value).tobytes()
        content = value.encode() if isinstance(value, str) else value
        digest.update(len(content).to_bytes(8, "big") + content)

    add(record)
    return digest.hexdigest()


def write_parts(folder: pathlib.Path, split: str, records: Records,
                serialize: Callable[[Record], bytes], *, settings: str, workers: int = 0,
                skip_broken: bool = False, size: int | None = None,
                tell: Callable[[int], object] = int) -> list[Part]:
    """Prepares the records of a split that no part holds yet.

    Args:
      folder: gets the parts; those of an earlier call that was stopped are found there.
      split: "train" or "test".
      records: what to prepare.
      serialize: makes the bytes that are stored of a record.
      settings: anything that all records depend on.
      workers: processes that prepare; 0 prepares in this one.
      skip_broken: leave out records that raise UserError; otherwise the first is refused.
      size: records a part; None takes `SIZE`.
      tell: is told, after each part, how many records it covers.

    Returns:
      The parts in the order of the records; those without any record kept have no file.

    Raises:
      UserError: for a record that cannot be used, and for a worker that was killed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size, parts = size or SIZE, []
    # Of those that come as the first record is prepared one in a hundred is swallowed, by whom is not
    # known; the build went on.
    with remembered_interrupts() as check, _preparing(records, workers) as prepare:
        for start in range(0, len(records), size):
            chunk = range(start, min(start + size, len(records)))
            stem = folder / f"{split}-{start // size:05d}"
            identity = hashlib.sha256("\n".join(
                [settings, str(start), *map(records.identity, chunk)]).encode()).hexdigest()
            part = _done(stem, identity)
            if part is None or (part.left_out and not skip_broken):
                part = _write(stem, identity, chunk, _checked(prepare(chunk), check), serialize,
                              skip_broken)
            parts.append(part)
            tell(len(chunk))
    return parts


def _checked(prepared: Iterable[Record | UserError], check: Callable[[], None]
             ) -> Iterator[Record | UserError]:
    for record in prepared:
        check()
        yield record


def _done(stem: pathlib.Path, identity: str) -> Part | None:
    """The part that an earlier build left; None where it is not there whole or is of other records."""
    file = stem.with_suffix(".array_record")
    try:
        facts = json.loads(stem.with_suffix(".json").read_text())
        there = file.stat().st_size if facts["kept"] else 0
        if facts["identity"] != identity or facts["bytes"] != there:
            return None
        return Part(file if facts["kept"] else None, facts["kept"], facts["digests"],
                    {int(i): why for i, why in facts["left_out"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # another build's, or cut short by a plug that was pulled


def _write(stem: pathlib.Path, identity: str, chunk: range, prepared: Iterable[Record | UserError],
           serialize: Callable[[Record], bytes], skip_broken: bool) -> Part:
    file, temporary = stem.with_suffix(".array_record"), stem.with_suffix(".tmp")
    part = Part(file, [], [], {})
    stem.with_suffix(".json").unlink(missing_ok=True)
    try:
        writer = array_record_module.ArrayRecordWriter(os.fspath(temporary), "group_size:1")
        for index, record in zip(chunk, prepared, strict=True):
            if isinstance(record, UserError):
                if not skip_broken:
                    raise record
                part.left_out[index] = record.what
                continue
            writer.write(serialize(record))
            part.kept.append(index)
            part.digests.append(record_digest(record))
        writer.close()
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
    if not part.kept:
        file.unlink()
    facts = {**part._asdict(), "identity": identity,
             "bytes": file.stat().st_size if part.kept else 0}
    del facts["file"]
    write_content(stem.with_suffix(".json"), json.dumps(facts))
    return part if part.kept else part._replace(file=None)


@contextlib.contextmanager
def _preparing(records: Records, workers: int
               ) -> Iterator[Callable[[range], Iterator[Record | UserError]]]:
    """Gives a function that prepares some records, in their order."""
    if not workers:
        yield lambda chunk: (_prepare(records, index) for index in chunk)
        return
    # A forked process would inherit the locks of JAX's threads.
    with concurrent.futures.ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), _receive, (records,)) as pool:
        try:
            yield lambda chunk: _in_order(pool, chunk, _AHEAD * workers)
        except concurrent.futures.process.BrokenProcessPool:
            raise UserError("workers", "ended without a word, as they do where memory is short",
                            "give fewer workers; the same command goes on") from None
        finally:
            pool.shutdown(cancel_futures=True)


def _in_order(pool, chunk: range, ahead: int) -> Iterator[Record | UserError]:
    # Executor.map would hold all the records that are ready before they are asked for.
    jobs = iter(chunk)
    waiting = [pool.submit(_prepare_received, job) for job in itertools.islice(jobs, ahead)]
    while waiting:
        done = waiting.pop(0).result()
        waiting += [pool.submit(_prepare_received, job) for job in itertools.islice(jobs, 1)]
        yield done


def _prepare(records: Records, index: int) -> Record | UserError:
    try:
        return records(index)
    except UserError as error:
        return error


_received: Records


def _receive(records: Records) -> None:
    """Takes the records once a worker rather than once a job."""
    global _received
    end_with_parent()
    _received = records


def _prepare_received(index: int) -> Record | UserError:
    return _prepare(_received, index)
