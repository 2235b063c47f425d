"""Reports as tables for a page, a paper and a spreadsheet."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

import numpy as np

from repose_jax.common.markdown import cell
from repose_jax.evaluation.metrics.metric import facts
from repose_jax.evaluation.report.report import Report
from repose_jax.evaluation.report.score_table import ScoreTable
from repose_jax.evaluation.statistics.bootstrap import Interval

_ARROWS = {"higher": r" $\uparrow$", "lower": r" $\downarrow$", "neither": ""}


def shown(name: str, interval: Interval) -> str:
    """A score with its interval as text; empty where it is not known."""
    digits = facts(name).digits
    if not math.isfinite(interval.value):
        return ""
    if not math.isfinite(interval.low):
        return f"{interval.value:.{digits}f}"
    return f"{interval.value:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def check_alike(reports: Sequence[Report]) -> None:
    """Refuses reports that do not fit one table.

    Raises:
      ValueError: there is none, or they are of other scores or pictures.
    """
    if not reports:
        raise ValueError("no report to show")
    names, conditions = list(reports[0].scores), reports[0].conditions
    if any(list(r.scores) != names for r in reports):
        raise ValueError("reports of different scores do not fit one table")
    if any((r.conditions["pictures"], r.conditions["people"])
           != (conditions["pictures"], conditions["people"]) for r in reports):
        raise ValueError("reports on different pictures do not fit one table")


def caption(report: Report) -> str:
    """On whom the scores are, and what the brackets hold."""
    conditions = report.conditions
    return (f"{conditions['pictures']} pictures of {conditions['people']} people; in brackets the "
            f"{100 * conditions['level']:g} % bootstrap interval over "
            f"{conditions.get('resampled', 'people')}.")


def deciding(reports: Sequence[Report]) -> list[str]:
    """The names of the few scores that decide, as far as they were measured; else of all."""
    names = list(reports[0].scores)
    return [name for name in names if facts(name).decides] or names


def markdown(reports: Sequence[Report], names: Sequence[str] | None = None) -> str:
    """A Markdown table, a row a report.

    Args:
      reports: of the same pictures.
      names: of the scores to show; None shows all.

    Raises:
      ValueError: as `check_alike`.
    """
    check_alike(reports)
    names = list(reports[0].scores) if names is None else names
    lines = ["| | " + " | ".join(facts(n).title for n in names) + " |",
             "|---" * (1 + len(names)) + "|"]
    for report in reports:
        cells = [cell(report.name), *(shown(n, report.scores[n]) for n in names)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", caption(reports[0])]) + "\n"


def latex(reports: Sequence[Report]) -> str:
    """A LaTeX tabular with booktabs rules: values alone, the best of each column bold.

    The intervals are in the other tables: a column for each would not fit a page.
    """
    check_alike(reports)
    names = list(reports[0].scores)
    best = {name: best_value(name, reports) for name in names}
    lines = [r"\begin{tabular}{l" + "r" * len(names) + "}", r"\toprule", " & ".join(
        ["", *(_escaped(facts(n).title) + _ARROWS[facts(n).better] for n in names)]) + r" \\",
        r"\midrule"]
    for report in reports:
        cells = [_escaped(report.name)]
        for name in names:
            value = report.scores[name].value
            text = f"{value:.{facts(name).digits}f}" if math.isfinite(value) else "--"
            cells.append(rf"\textbf{{{text}}}" if report.competes and value == best[name] else text)
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", "% " + caption(reports[0])]) + "\n"


def best_value(name: str, reports: Sequence[Report]) -> float | None:
    """The best value of a score; None where there is no best, or nothing to be better than."""
    finite = [report.scores[name].value for report in reports
              if report.competes and math.isfinite(report.scores[name].value)]
    better = facts(name).better
    if better == "neither" or len(finite) < 2:
        return None
    return max(finite) if better == "higher" else min(finite)


def _escaped(text: str) -> str:
    return "".join("\\" + c if c in "%&_#$" else c for c in text)


def per_picture_csv(
    tables: Sequence[ScoreTable], names: Sequence[tuple[str, str]], persons: Sequence[str]
) -> bytes:
    """A CSV with a row for each picture of each table.

    Args:
      tables: of the same pairs in the same order.
      names: source and target of each pair.
      persons: whose each is.
    """
    columns = list(dict.fromkeys(name for table in tables for name in table.values))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["made_by", "source", "target", "person", *columns])
    for table in tables:
        values = np.stack([table.values.get(c, np.full(len(table), np.nan)) for c in columns], 1)
        for pair, person, row in zip(names, persons, values, strict=True):
            writer.writerow([table.name, *pair, person,
                             *(f"{v:.6g}" if math.isfinite(v) else "" for v in row)])
    return text.getvalue().encode()
