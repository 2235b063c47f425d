"""Human-Art as `repose data build human-art` wrote it."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

from repose_jax.common.errors import UserError
from repose_jax.data.human_art.annotations import AnnotatedPicture
from repose_jax.data.records.array_record import RecordImages, open_built


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class BuiltHumanArt:
    """A split.

    Attributes:
      pictures: as `load_human_art` gives them, but `path` counts from the folder that was built
        from and need not be there any more.
      read: gives picture i, uint8 [height, width, 3].
      notes: a sentence for each thing that was left out.
    """

    pictures: tuple[AnnotatedPicture, ...]
    read: RecordImages
    notes: tuple[str, ...]


def load_built_human_art(folder: str | os.PathLike[str], split: str = "train") -> BuiltHumanArt:
    """Loads a split of Human-Art that was built.

    Args:
      folder: the folder that holds dataset_info.json, or one above it.
      split: "train" or "test".

    Raises:
      UserError: where there is no such dataset, or a file of it is broken.
    """
    path, builder = open_built(folder, split)
    if "scenario" not in builder.info.features:
        raise UserError(path, "is not Human-Art", "open it with repose_jax.data.registry")
    read = RecordImages(os.fspath(path), split)
    pictures = []
    for record in map(read.record, range(builder.info.splits[split].num_examples)):
        text = {key: record[key].decode() for key in ("name", "number", "scenario", "description")}
        pictures.append(AnnotatedPicture(
            path=pathlib.Path(text["name"]), size=tuple(record["size"].tolist()),
            scenario=text["scenario"], description=text["description"], people=record["people"],
            boxes=record["boxes"], areas=record["areas"], number=json.loads(text["number"])))
    notes = (builder.info.metadata or {}).get("notes", {}).get(split, ())
    return BuiltHumanArt(pictures=tuple(pictures), read=read, notes=tuple(notes))
