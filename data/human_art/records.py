"""What a built dataset stores of Human-Art's pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import numpy as np

from repose_jax.data.human_art.annotations import AnnotatedPicture, picture_name
from repose_jax.data.image.files import read_bytes, read_image
from repose_jax.data.records.person_records import file_stamp
from repose_jax.data.records.shards import record_digest


class ArtRecords:
    """The records of a split, pictures as their files hold them; picklable. See `shards.Records`."""

    def __init__(self, pictures: Sequence[AnnotatedPicture], root: str | os.PathLike[str]):
        """Takes the pictures and the folder from which their names count."""
        self._pictures, self._root = tuple(pictures), os.fspath(root)

    def __len__(self) -> int:
        return len(self._pictures)

    def __call__(self, index: int) -> dict:
        path = self._pictures[index].path
        content = read_bytes(path)
        # The bytes are stored as they are; a corrupt picture must not pass unseen.
        read_image(path, content)
        return {"image": content, **self._facts(index)}

    def _facts(self, index: int) -> dict:
        picture = self._pictures[index]
        return {"name": self.name(index), "number": json.dumps(picture.number),
                "size": np.array(picture.size, np.int32), "scenario": picture.scenario,
                "description": picture.description, "people": picture.people,
                "boxes": picture.boxes, "areas": picture.areas}

    def name(self, index: int) -> str:
        return picture_name(self._root, self._pictures[index].path)

    def identity(self, index: int) -> str:
        return f"{record_digest(self._facts(index))} {file_stamp(self._pictures[index].path)}"

    def counts(self, kept: list[int]) -> dict[str, int]:
        return {"people": sum(len(self._pictures[i].people) for i in kept)}
