"""What a built dataset stores of pictures of people that lie in files."""

from __future__ import annotations

import os

from repose_jax.data.pairs.source import OrderedPairs, PairSource
from repose_jax.data.records.shards import record_digest


class PersonRecords:
    """The records of a source whose pictures are read from files; picklable. See `shards.Records`."""

    def __init__(self, source: PairSource):
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __call__(self, index: int) -> dict:
        return {"image": self._source.stored.encoded(index), **self._facts(index)}

    def _facts(self, index: int) -> dict:
        source = self._source
        return {"name": source.names[index], "person": source.persons[index],
                "poses": {source.skeleton.name: source.pose(index)}}

    def name(self, index: int) -> str:
        return self._source.names[index]

    def identity(self, index: int) -> str:
        stored = self._source.stored
        return " ".join([record_digest(self._facts(index)), file_stamp(stored.file(index)),
                         stored.manner()])

    def counts(self, kept: list[int]) -> dict[str, int]:
        persons = [self._source.persons[i] for i in kept]
        counts = {"people": len(set(persons))}
        return counts if self._source.given_pairs is not None else {
            **counts, "pairs": len(OrderedPairs(persons))}


def file_stamp(path: str | os.PathLike[str]) -> str:
    """Changes when a file is written anew; the same for each file that is missing."""
    try:
        found = os.stat(path)
    except OSError:
        return "missing"
    return f"{found.st_size} {found.st_mtime_ns}"
