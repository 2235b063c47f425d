"""Answers that come back from a study's page."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from typing import Any

from repose_jax.common.errors import UserError
from repose_jax.common.json_text import parse_json
from repose_jax.common.ranges import Range
from repose_jax.studies.human.key import Key

FORMAT = "repose-study-answers-1"
_TIME = Range(0)
_CODE = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclasses.dataclass(frozen=True)
class Answers:
    """One participant's answers.

    Attributes:
      participant: code.
      choices: by the question's id: real or generated, or a picture's id.
      milliseconds: for which each picture was on show, by the question's id.
    """

    participant: str
    choices: dict[str, str]
    milliseconds: dict[str, float]

    def failed_checks(self, key: Key) -> int:
        """How many attention checks were answered wrongly."""
        return sum(self.choices[id] != q.right for id, q in key.questions.items() if q.check)


def parse_answers(text: str | bytes, key: Key, where: str | os.PathLike[str]) -> Answers:
    """Reads one file of answers.

    Args:
      text: of the file, JSON.
      key: of the study.
      where: named in errors.

    Raises:
      UserError: they are damaged, incomplete, or of another study.
    """
    hint = "ask the participant for the file again"
    content = parse_json(text, where, "holds no whole answers", hint)
    try:
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"the format is not {FORMAT}")
        study, participant = content["study"], content["participant"]
        rows = {row["question"]: row for row in content["answers"]}
        if len(rows) < len(content["answers"]):
            raise ValueError("a question is answered twice")
        if not isinstance(participant, str) or not _CODE.fullmatch(participant):
            raise ValueError("the participant code is not one")
        if study == key.study:
            for id, entry in key.questions.items():
                _check_row(id, rows.get(id), entry)
            if unknown := set(rows) - set(key.questions):
                raise ValueError(f"there is no question {min(unknown)}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(where, f"holds no whole answers ({str(error):.120})", hint) from None
    if study != key.study:
        raise UserError(where, "answers another study: its hash differs",
                        "give the answers to the page beside the key")
    return Answers(participant, {id: row["choice"] for id, row in rows.items()},
                   {id: float(row["shown_ms"]) for id, row in rows.items()})


def _check_row(id: str, row: Any, entry) -> None:
    if row is None:
        raise ValueError(f"question {id} is not answered")
    if row["choice"] not in entry.choices:
        raise ValueError(f"question {id} has no choice {row['choice']}")
    if sorted(row["shown"]) != sorted(entry.options):
        raise ValueError(f"question {id} shows other pictures")
    for name in ("shown_ms", "answered_ms"):
        value = row[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value not in _TIME:
            raise ValueError(f"{name} of question {id} is no time")


def read_answers(paths: Sequence[str | os.PathLike[str]], key: Key) -> tuple[Answers, ...]:
    """Reads the files of all participants, sorted by code.

    Raises:
      UserError: there is none, one cannot be used, or two are of one participant.
    """
    if not paths:
        raise UserError("answers", "are none", "name one or more files")
    seen: dict[str, str | os.PathLike[str]] = {}
    found = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                text = file.read()
        except OSError as error:
            raise UserError(path, f"cannot be read ({error.strerror})",
                            "check the path") from None
        answers = parse_answers(text, key, path)
        # The page draws one order for a code in small and in capital letters.
        code = answers.participant.lower()
        if code in seen:
            raise UserError(path, f"is of the participant {answers.participant}, as is "
                            f"{os.fspath(seen[code])}", "keep one of them")
        seen[code] = path
        found.append(answers)
    return tuple(sorted(found, key=lambda a: a.participant))
