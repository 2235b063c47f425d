"""Scores of a human study, as the field reports them.

R2G is the share of answers to real pictures that call them generated, G2R the share of answers to
generated pictures that call them real, Jab the share of comparisons in which a method's result is
judged best of all (as in PIDM, Bhunia et al., CVPR 2023, and CFLD, Lu et al., CVPR 2024). R2G is of
the study here, not of a method, as all methods are judged among the same real pictures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.common.markdown import cell
from repose_jax.evaluation.statistics.bootstrap import Bootstrap, Interval
from repose_jax.evaluation.statistics.crossed_bootstrap import crossed_share
from repose_jax.studies.human.answers import Answers
from repose_jax.studies.human.key import Entry, Key

FEW_PEOPLE = 20
"""Below it, a percentile bootstrap over people tends to be too narrow, and a note says so."""


@dataclasses.dataclass(frozen=True)
class Share:
    """A share in [0, 1].

    Attributes:
      interval: over participants and pictures: for other people and other pictures of the kind.
      participants_only: for other people, but these pictures.
      pictures: how many questions it is of, the same for every participant.
    """

    interval: Interval
    participants_only: Interval
    pictures: int


@dataclasses.dataclass(frozen=True)
class Scores:
    """What the answers say.

    Attributes:
      r2g, accuracy: of the study; None where real-or-generated was not asked. Guessing gives an
        accuracy of about 0.5.
      g2r, jab: by method; empty where not asked.
      preference: preference[a][b] is the share of comparisons of a and b that a won; empty where
        pairs were not asked.
      participants: codes of those who count.
      left_out: number of failed attention checks by the code of those who do not.
      shown_ms: median time for which a picture to be judged real or generated was on show, None
        where not asked.
      notes: what to keep in mind, one sentence each.
    """

    r2g: Share | None
    accuracy: Share | None
    g2r: dict[str, Share]
    jab: dict[str, Share]
    preference: dict[str, dict[str, Share]]
    participants: tuple[str, ...]
    left_out: dict[str, int]
    shown_ms: float | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for `write_json`."""
        return dataclasses.asdict(self)


def score(key: Key, answers: Sequence[Answers], *, failed_checks: int = 0, resamples: int = 2000,
          seed: int = 0) -> Scores:
    """Scores the answers, 95 % intervals.

    Args:
      key: of the study.
      answers: of its participants.
      failed_checks: attention checks that a participant may fail and still count.
      resamples, seed: of the intervals.

    Raises:
      UserError: nobody is left who passed the checks.
    """
    failed = {a.participant: a.failed_checks(key) for a in answers}
    kept = [a for a in answers if failed[a.participant] <= failed_checks]
    if not kept:
        raise UserError("answers", f"are of {len(answers)} participants who all failed attention "
                        "checks", "let more failed checks pass, or ask others")

    def share(asked: Callable[[Entry], bool], hit: Callable[[Entry, str], bool]) -> Share | None:
        ids = [id for id, q in key.questions.items() if not q.check and asked(q)]
        if not ids:
            return None
        hits = np.array([[hit(key.questions[id], a.choices[id]) for id in ids] for a in kept])
        people = np.repeat(np.arange(len(kept)), len(ids))
        return Share(crossed_share(hits, resamples=resamples, seed=seed),
                     Bootstrap(people, resamples=resamples, seed=seed).mean(hits.ravel()),
                     len(ids))

    def judged(origin: str, method: str | None = None) -> Callable[[Entry], bool]:
        return lambda q: q.kind == "real-or-generated" and any(
            o.origin == origin and o.method == method for o in q.options.values())

    def won(method: str) -> Callable[[Entry, str], bool]:
        return lambda q, choice: q.options[choice].method == method

    def between(both: set[str]) -> Callable[[Entry], bool]:
        return lambda q: q.kind == "pair" and both == {o.method for o in q.options.values()}

    def wrong(q: Entry, choice: str) -> bool:
        return choice != q.right

    g2r = {m: share(judged("generated", m), wrong) for m in key.methods}
    jab = {m: share(lambda q: q.kind == "best", won(m)) for m in key.methods}
    preference = {a: {b: share(between({a, b}), won(a)) for b in key.methods if b != a}
                  for a in key.methods}
    times = [a.milliseconds[id] for a in kept for id, q in key.questions.items()
             if q.kind == "real-or-generated"]
    found = Scores(
        share(judged("real"), wrong),
        share(lambda q: q.kind == "real-or-generated", lambda q, choice: not wrong(q, choice)),
        _known(g2r), _known(jab),
        {a: row for a in key.methods if (row := _known(preference[a]))},
        tuple(a.participant for a in kept),
        {code: n for code, n in failed.items() if n > failed_checks},
        float(np.median(times)) if times else None, ())
    return dataclasses.replace(found, notes=_notes(found, key))


def _known(shares: dict[str, Share | None]) -> dict[str, Share]:
    return {name: s for name, s in shares.items() if s is not None}


def _all(scores: Scores) -> list[Share]:
    return [s for s in (scores.r2g, scores.accuracy, *scores.g2r.values(), *scores.jab.values(),
                        *(s for row in scores.preference.values() for s in row.values())) if s]


def _notes(scores: Scores, key: Key) -> tuple[str, ...]:
    notes, people, shares = [], len(scores.participants), _all(scores)
    if 1 < people < FEW_PEOPLE:
        notes.append(f"The intervals are over {people} participants; with fewer than "
                     f"{FEW_PEOPLE} they are likely too narrow.")
    if people > 1 and any(s.pictures < 2 for s in shares):
        notes.append("A share of one picture has no interval over pictures.")
    if people > 1 and any(s.interval.value in (0, 1) for s in shares):
        notes.append("Where all answers agree, the bootstrap gives an interval without width, "
                     "which is no certainty.")
    if scores.left_out:
        notes.append("Left out for failed attention checks: " + ", ".join(
            f"{code} ({n} of {sum(q.check for q in key.questions.values())})"
            for code, n in scores.left_out.items()) + ".")
    asked = 1000 * key.settings["seconds"]
    if scores.shown_ms is not None and abs(scores.shown_ms - asked) > max(50, 0.1 * asked):
        notes.append(f"Pictures were on show for {scores.shown_ms:.0f} ms (median), not the "
                     f"{asked:.0f} ms that were set.")
    return tuple(notes)


def markdown(scores: Scores) -> str:
    """The scores as Markdown tables; brackets hold the intervals over participants and pictures."""
    lines = []
    if scores.r2g or scores.jab:
        columns = [(n, s) for n, s in (("G2R", scores.g2r), ("Jab", scores.jab)) if s]
        lines += ["| | " + " | ".join(n for n, _ in columns) + " |",
                  "|---" * (1 + len(columns)) + "|"]
        lines += [f"| {cell(m)} | " + " | ".join(_text(s.get(m)) for _, s in columns) + " |"
                  for m in columns[0][1]]
        lines.append("")
    if scores.r2g:
        lines += [f"R2G {_text(scores.r2g)}, accuracy {_text(scores.accuracy)}.", ""]
    if scores.preference:
        names = list(scores.preference)
        lines += ["Share of comparisons that the method of the row won against that of the column:",
                  "", "| | " + " | ".join(map(cell, names)) + " |", "|---" * (1 + len(names)) + "|"]
        lines += [f"| {cell(a)} | " + " | ".join(_text(scores.preference[a].get(b)) for b in names)
                  + " |" for a in names]
        lines.append("")
    people = len(scores.participants)
    lines.append(
        f"{people} participants; in brackets 95 % bootstrap intervals over participants and "
        "pictures." if people > 1 else "There is one participant only: no interval can be told.")
    return "\n".join([*lines, "", *(f"- {note}" for note in scores.notes)]).rstrip() + "\n"


def _text(share: Share | None) -> str:
    if share is None:
        return ""
    value, low, high = (f"{x:.3f}" for x in share.interval)
    return value if np.isnan(share.interval.low) else f"{value} [{low}, {high}]"
