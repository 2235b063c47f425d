"""The key of a study: what each picture on the page is. It stays with the experimenter."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

from repose_jax.common.errors import UserError
from repose_jax.common.json_text import parse_json
from repose_jax.evaluation.report.report import write_json
from repose_jax.studies.human.question import GENERATED, KINDS, REAL, Kind

FORMAT = "repose-study-key-1"


@dataclasses.dataclass(frozen=True)
class Option:
    """A picture that is judged: origin, method and file name as in `question.Picture`."""

    origin: str
    method: str | None
    file: str


@dataclasses.dataclass(frozen=True)
class Entry:
    """A question as the key knows it; `options` by the picture's id on the page."""

    kind: Kind
    check: bool
    pair: tuple[str, str]
    options: dict[str, Option]

    @property
    def choices(self) -> tuple[str, ...]:
        """What may be answered."""
        return (REAL, GENERATED) if self.kind == "real-or-generated" else tuple(self.options)

    @property
    def right(self) -> str | None:
        """The right answer; None where it is a matter of taste."""
        if self.kind == "real-or-generated":
            option, = self.options.values()
            return REAL if option.origin == "real" else GENERATED
        return next((id for id, o in self.options.items() if o.origin == "real"), None)


@dataclasses.dataclass(frozen=True)
class Key:
    """The key.

    Attributes:
      study: SHA-256 of what the page asks and shows; answers carry it.
      methods: names, in the order in which they were given.
      questions: by their id on the page.
      settings: seed, seconds and the like, for the record.
    """

    study: str
    methods: tuple[str, ...]
    questions: dict[str, Entry]
    settings: dict[str, Any]

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the key as JSON; UserError where that is not possible."""
        write_json(path, {"format": FORMAT} | dataclasses.asdict(self))


def read_key(folder: str | os.PathLike[str]) -> Key:
    """Reads the key of a study's folder.

    Raises:
      UserError: there is none, or it is damaged.
    """
    path, mend = pathlib.Path(folder) / "key.json", "give the folder that repose study build wrote"
    try:
        content = parse_json(path.read_bytes(), path, "is not the key of a study", mend)
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']}")
        questions = {
            id: Entry(q["kind"], q["check"], tuple(q["pair"]),
                      {o: Option(**option) for o, option in q["options"].items()})
            for id, q in content["questions"].items()}
        if not all(q.kind in KINDS for q in questions.values()):
            raise ValueError("a question is of an unknown kind")
        float(content["settings"]["seconds"])
        return Key(content["study"], tuple(content["methods"]), questions, content["settings"])
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", mend) from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(path, f"is not the key of a study ({str(error):.120})", mend) from None
