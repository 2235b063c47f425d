"""The library's own lines in Japanese, for the page: errors and notes as `japanese.json` has them.

The library says what is wrong in English, with the values in their places. The table holds, as
translators' tables do, each sentence that somebody who uses the page can meet, with {} where a value
is; a test compares it with the sentences of the source, so that neither goes without the other. What is
not in it, such as a defect's own words, stays English behind a Japanese lead.
"""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_FOLDER = pathlib.Path(__file__).parent
_LEAD = "次の問題があります（英語）："
_LONGEST = 2000  # letters of a line: one that quotes more of a stranger's file is not looked through
_PLACES = 24  # of a mark that may end a name: a stranger's may have any number of them


def error_in_japanese(line: str) -> str:
    """An error as `UserError` makes it, `where: what; mend`."""
    for where, rest in _splits(line, ": "):
        for what, mend in _splits(rest, "; "):
            said, done = _said("what", what), _said("mend", mend)
            if said is not None and done is not None:
                return f"{_table()['where'].get(where, where)}：{said}。{done}。"
    return _LEAD + line


def note_in_japanese(line: str) -> str:
    """A note on what was done, `name: text` or the text alone; a note may also be an error."""
    if len(line) <= _LONGEST and (said := _said("notes", line)) is not None:
        return said
    for name, text in _splits(line, ": "):
        if (said := _said("notes", text)) is not None:
            return f"{_table()['where'].get(name, name)}：{said}"
    return error_in_japanese(line)


def answer_in_japanese(answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer of the server with its errors and notes in Japanese; all else is as it was."""
    found = dict(answer)
    if "error" in found:
        found["error"] = error_in_japanese(found["error"])
    if "notes" in found:
        found["notes"] = list(map(note_in_japanese, found["notes"]))
    if "unjudged" in found:
        found["unjudged"] = {name: error_in_japanese(why) for name, why in found["unjudged"].items()}
    if "answer" in found:
        found["answer"] = answer_in_japanese(found["answer"])
    return found


def _splits(line: str, mark: str) -> Iterator[tuple[str, str]]:
    """What is before and after a mark, at each of its first places."""
    at = -1
    for _ in range(_PLACES * (len(line) <= _LONGEST)):
        if (at := line.find(mark, at + 1)) < 0:
            return
        yield line[:at], line[at + len(mark):]


@functools.cache
def _table() -> dict[str, dict[str, str]]:
    found = json.loads((_FOLDER / "japanese.json").read_text(encoding="utf-8"))
    texts = json.loads((_FOLDER / "page" / "texts.json").read_text(encoding="utf-8"))
    found["values"] |= {key.removeprefix("joint."): text["ja"] for key, text in texts.items()
                        if key.startswith("joint.")}
    return found


@functools.cache
def _sentences(part: str) -> list[tuple[list[str], str]]:
    """The sentences of a part of the table, as what is between their values; the longer ones first."""
    rows = sorted(_table()[part].items(), key=lambda row: -len(row[0].replace("{}", "")))
    return [(key.split("{}"), text) for key, text in rows]


def _said(part: str, sentence: str) -> str | None:
    """A sentence of a part of the table, with its values; None where the part has none like it."""
    for between, text in _sentences(part):
        if (values := _values(sentence, between)) is not None:
            return text.format(*map(_value, values))
    return None


def _values(sentence: str, between: Sequence[str]) -> list[str] | None:
    """What a sentence has in the places of values, each as short as may be; None if it is another.

    A regular expression would try all divisions of a stranger's long words.
    """
    if len(between) == 1:
        return [] if sentence == between[0] else None
    first, *middle, last = between
    end = len(sentence) - len(last)
    if not sentence.startswith(first) or not sentence.endswith(last):
        return None
    at, values = len(first), []
    for words in middle:
        if (found := sentence.find(words, at, end)) < 0:
            return None
        values.append(sentence[at:found])
        at = found + len(words)
    return [*values, sentence[at:end]] if at <= end else None


def _value(text: str) -> str:
    """A value in a sentence: a number or a name as it is, words and lists of words in Japanese."""
    for part in ("what", "values"):
        if (said := _said(part, text)) is not None:
            return said
    words = [_said("values", word) for word in text.split(", ")]
    return text if None in words else "、".join(map(str, words))
