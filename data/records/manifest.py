"""manifest.json beside the records: what a built dataset holds, how it was made, what is not in it.

    {"dataset": "deepfashion", "config": "256x176", "version": "1.0.0",
     "settings": {"size": [256, 176], "skip_broken": true}, "skeletons": ["openpose18"],
     "versions": {"repose_jax": ..., "tensorflow-datasets": ..., "pillow": ...},
     "splits": {"train": {"layout": ..., "pictures": 48674, "people": ..., "pairs": 101966,
                          "sha256": ..., "files": {NAME: SHA256, ...},
                          "skipped": {REASON: [NAME, ...]}, "notes": [...]}}}

It names no folder of the machine. The SHA-256 of a file is that of its records' digests in their
order, that of a split also covers its list of pairs: two builds with the same one hold the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from repose_jax.common.errors import UserError
from repose_jax.common.files import write_content
from repose_jax.common.json_text import parse_json
from repose_jax.common.versions import versions

FILE = "manifest.json"
# What a picture's bytes depend on.
PACKAGES = ("repose_jax", "tensorflow-datasets", "pillow")


def content_digest(records: Iterable[str], pairs: Sequence[Sequence[str]] | None = None) -> str:
    """SHA-256 of a split.

    Args:
      records: `shards.record_digest` of each record, in their order.
      pairs: names of source and target; None where no list of pairs is stored.
    """
    digest = hashlib.sha256("\n".join(records).encode())
    for names in pairs if pairs is not None else ():
        digest.update(("\n" + "\t".join(names)).encode())
    return digest.hexdigest()


def write_manifest(folder: str | os.PathLike[str], facts: Mapping[str, object]) -> None:
    """Writes the manifest of the dataset in a folder; adds the versions."""
    content = {**facts, "versions": versions(PACKAGES)}
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    write_content(pathlib.Path(folder, FILE), text)


def read_manifest(folder: str | os.PathLike[str]) -> dict | None:
    """The manifest of the dataset in a folder; None where it was built without one.

    Raises:
      UserError: where it cannot be read, or lacks what every manifest has.
    """
    path = pathlib.Path(folder, FILE)
    try:
        content = parse_json(path.read_bytes(), path, "cannot be read", "build the dataset anew")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "build the dataset anew") from None
    told = content if isinstance(content, dict) else {}
    for key in ("settings", "splits"):
        if not isinstance(told.get(key), dict):
            raise UserError(path, f"tells of no {key}", "build the dataset anew")
    for name, split in told["splits"].items():
        if not (isinstance(split, dict) and isinstance(split.get("files"), dict)
                and isinstance(split.get("sha256"), str)):
            raise UserError(path, f"tells of no files with a SHA-256 of {name}",
                            "build the dataset anew")
    return told
