"""What the builders of all datasets share: parts that a stopped build keeps, and a manifest."""

from __future__ import annotations

import abc
import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int32
from tensorflow_datasets.core import example_serializer, utils
from tensorflow_datasets.core.dataset_builder import FileReaderBuilder

from repose_jax.common.errors import UserError
from repose_jax.common.versions import versions
from repose_jax.data.pairs.source import PairSource
from repose_jax.data.records.manifest import PACKAGES, content_digest, write_manifest
from repose_jax.data.records.person_records import PersonRecords
from repose_jax.data.records.shards import Part, Records, write_parts


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """What a split shall hold.

    Attributes:
      records: its records.
      layout: of the folder that they come from.
      pairs: numbers of the records of source and target; None where there is no list of them.
      notes: a sentence for each thing that was left out.
      left_out: names of what was left out, by the reason.
    """

    records: Records
    layout: str
    pairs: Int32[np.ndarray, "p 2"] | None = None
    notes: Sequence[str] = ()
    left_out: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)


def split_of(source: PairSource, root: str | os.PathLike[str], layout: str) -> Split:
    """The split of a source whose pictures lie below `root`, which its notes do not tell."""
    pairs = source.given_pairs
    # Only where a path begins: a root like "train" is also within other names.
    below = re.compile(rf"(?<![^\s'\"(]){re.escape(f'{os.fspath(root)}{os.sep}')}")
    return Split(
        records=PersonRecords(source), layout=layout,
        pairs=None if pairs is None else np.asarray(pairs),
        notes=[below.sub("", note) for note in source.notes],
        left_out=source.left_out)


def unfinished(folder: str | os.PathLike[str]) -> pathlib.Path:
    """Where the parts of a dataset lie until all of them are done."""
    folder = pathlib.Path(folder)
    return folder.with_name(f"unfinished.{folder.name}")


class PartedBuilder(FileReaderBuilder):
    """Writes splits whose parts become the shards of the dataset, in the order of the records.

    Attributes:
      workers: processes that prepare records; what is built does not depend on it.
      skip_broken: leave out and name what cannot be used; otherwise the first of it is refused.
      DESCRIPTION, HOMEPAGE: of the dataset.
    """

    workers = 0
    skip_broken = False
    DESCRIPTION: str
    HOMEPAGE: str | None = None

    @abc.abstractmethod
    def _features(self) -> tfds.features.FeaturesDict:
        """What a record holds."""

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self, features=self._features(), metadata=tfds.core.MetadataDict(),
            description=self.DESCRIPTION, homepage=self.HOMEPAGE)

    @abc.abstractmethod
    def _splits(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Split]:
        """What to write, by the name of the split."""

    @abc.abstractmethod
    def _settings(self) -> dict[str, object]:
        """What the user chose, ready for JSON, but for `skip_broken`."""

    def settings(self) -> dict[str, object]:
        """What the user chose, as the manifest tells it."""
        return json.loads(json.dumps({**self._settings(), "skip_broken": self.skip_broken}))

    def _download_and_prepare(self, dl_manager: tfds.download.DownloadManager,
                              download_config: tfds.download.DownloadConfig | None = None) -> None:
        target = pathlib.Path(self.data_dir)  # a temporary one, which TensorFlow Datasets renames
        splits = self._splits(dl_manager)
        features = self.info.features
        serializer = example_serializer.ExampleSerializer(features.get_serialized_info())
        parts = {}
        for name, split in splits.items():
            with utils.tqdm(total=len(split.records), desc=name, unit=" pictures") as bar:
                parts[name] = write_parts(
                    unfinished(target.with_name(str(self.version))), name, split.records,
                    lambda record: serializer.serialize_example(features.encode_example(record)),
                    settings=json.dumps([self.name, str(self.version), self._settings(),
                                         versions(PACKAGES)]),
                    workers=self.workers, skip_broken=self.skip_broken, tell=bar.update)
        entries = {name: self._described(name, split, parts[name])
                   for name, split in splits.items()}
        self.info.set_splits(tfds.core.SplitDict(
            [self._shards(name, parts[name], entry) for name, entry in entries.items()]))
        write_manifest(target, {
            "dataset": self.name, "config": self.builder_config.name, "version": str(self.version),
            "settings": self.settings(),
            "skeletons": self._skeletons(), "splits": entries})

    def _skeletons(self) -> list[str]:
        return list(self.info.features["poses"])

    def _described(self, name: str, split: Split, parts: list[Part]) -> dict[str, object]:
        """The manifest's entry of a split; its notes and pairs go into the dataset's metadata."""
        records, notes = split.records, list(split.notes)
        kept = [index for part in parts for index in part.kept]
        if not kept:
            raise UserError(name, "has no picture that can be used", "complete the folder")
        left_out = {why: list(names) for why, names in split.left_out.items()}
        for index, why in (item for part in parts for item in part.left_out.items()):
            notes.append(f"left out: {records.name(index)}: {why}")
            # What stands in brackets differs from picture to picture.
            left_out.setdefault(why.partition(" (")[0], []).append(records.name(index))
        counts, pairs = records.counts(kept), None
        if split.pairs is not None:
            there = np.isin(split.pairs, kept).all(1)
            if dropped := int((~there).sum()):
                notes.append(f"{dropped} pairs of pictures that cannot be used are dropped")
            pairs = [[records.name(i) for i in pair] for pair in split.pairs[there].tolist()]
            counts["pairs"] = len(pairs)
            self.info.metadata.setdefault("pairs", {})[name] = pairs
        if counts.get("pairs") == 0:
            raise UserError(name, "has no pair of pictures that can be used", "complete the folder")
        self.info.metadata.setdefault("notes", {})[name] = notes
        digests = [digest for part in parts for digest in part.digests]
        return {"layout": split.layout, "pictures": len(kept), **counts,
                "sha256": content_digest(digests, pairs), "skipped": left_out, "notes": notes}

    def _shards(self, name: str, parts: list[Part], entry: dict) -> tfds.core.SplitInfo:
        """Puts the parts of a split where TensorFlow Datasets looks for them."""
        parts = [part for part in parts if part.file]
        template, total, entry["files"] = self._get_filename_template(name), 0, {}
        for number, part in enumerate(parts):
            path = template.sharded_filepath(shard_index=number, num_shards=len(parts))
            try:
                # What stops the build from here on takes this name away and leaves the other.
                os.link(part.file, path)
            except OSError:  # a file system whose files have one name
                os.replace(part.file, path)
            entry["files"][path.name] = content_digest(part.digests)
            total += path.stat().length
        return tfds.core.SplitInfo(name=name, shard_lengths=[len(part.kept) for part in parts],
                                   num_bytes=total, filename_template=template)
