"""Says whether a built dataset still holds what its manifest tells."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

import tensorflow_datasets as tfds

from repose_jax.common.errors import UserError
from repose_jax.data.image.findings import Count, Finding, Findings, Report, spread
from repose_jax.data.pairs.source import OrderedPairs
from repose_jax.data.records.array_record import RecordImages, open_built, reading
from repose_jax.data.records.manifest import FILE, content_digest, read_manifest
from repose_jax.data.records.shards import record_digest


def check_built(folder: pathlib.Path, sample: int | None = None) -> Report:
    """Reads all records of a built dataset and compares counts and contents with its manifest.

    Args:
      folder: holds dataset_info.json.
      sample: pictures of a split to decode, evenly spread; None decodes all.

    Raises:
      UserError: where it cannot be opened at all.
    """
    findings, counts, told = Findings(), [], {}
    info = open_built(folder)[1].info
    try:
        manifest = read_manifest(folder)
    except UserError as error:
        findings.add_error(error)
    else:
        told = manifest["splits"] if manifest else {}
        if manifest is None:
            findings.append(Finding(os.fspath(folder), f"has no {FILE} to compare with", False))
        else:
            findings.add(folder / FILE, sorted(info.splits.keys() - told.keys()),
                         "splits that it does not tell of")
        findings.add(folder, sorted(told.keys() - info.splits.keys()), "splits that are missing")
    pairs = (info.metadata or {}).get("pairs", {})
    for name, split in info.splits.items():
        found = _check_split(folder, split, pairs.get(name), told.get(name), sample, findings)
        counts += [Count(f"{name} {what}", number) for what, number in found.items()]
    return Report(layout="built dataset", counts=tuple(counts), findings=tuple(findings))


def _check_split(folder: pathlib.Path, split: tfds.core.SplitInfo,
                 pairs: Sequence[Sequence[str]] | None, told: dict | None, sample: int | None,
                 findings: Findings) -> dict[str, int]:
    """Looks at each file of a split; the counts of what can be read."""
    read = RecordImages(os.fspath(folder), split.name)
    whole, first = set(spread(split.num_examples, sample)), 0
    digests, persons, people = [], [], 0
    with reading(folder):
        files = list(zip(map(pathlib.Path, split.filepaths), split.shard_lengths, strict=True))
    for path, length in files:
        in_file = []
        try:
            for index in range(first, first + length):
                record = read.record(index)
                with reading(path):
                    if index in whole:
                        read.decode(record)
                    in_file.append(record_digest(record))
                    if "person" in record:
                        persons.append(record["person"].decode())
                    else:
                        people += len(record["people"])
        except UserError as error:
            findings.add_error(error)
        else:
            if told and told["files"].get(path.name) != content_digest(in_file):
                findings.append(Finding(str(path), f"holds something else than {FILE} tells"))
        digests += in_file
        first += length
    found = {"pictures": len(digests), "people": len(set(persons)) + people}
    if persons:
        found["pairs"] = len(OrderedPairs(persons)) if pairs is None else len(pairs)
    if told and len(digests) == split.num_examples:
        findings.add(folder / FILE, [f"{told.get(what)} {what}, not {number}"
                                     for what, number in found.items() if told.get(what) != number],
                     f"other counts of {split.name}")
        if told["sha256"] != content_digest(digests, pairs):
            findings.append(Finding(str(folder / FILE), f"tells of other contents of {split.name}"))
    return found
