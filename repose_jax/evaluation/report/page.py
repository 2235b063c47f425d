"""A report as one HTML page that needs no other file."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from repose_jax.evaluation.metrics.metric import facts
from repose_jax.evaluation.report.breakdown import Group
from repose_jax.evaluation.report.contact_sheet import SheetRow, draw_sheet
from repose_jax.evaluation.report.report import Report
from repose_jax.evaluation.report.score_table import ScoreTable
from repose_jax.evaluation.report.table import best_value, caption, check_alike, shown
from repose_jax.evaluation.statistics.bootstrap import Interval
from repose_jax.pose.skeleton import Skeleton

_STYLE = """
:root{--ink:#1d2327;--pale:#f4f6f7;--line:#d9dee2;--good:#0a7d4f}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);margin:2rem auto;padding:0 1rem;
max-width:76rem}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}
h3{font-size:1rem;margin:1.2rem 0 .3rem}.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.86rem}
td,th{border-bottom:1px solid var(--line);padding:.35rem .7rem;text-align:right;white-space:nowrap}
td:first-child,th:first-child{text-align:left}th{background:var(--pale);font-weight:600}
td small{color:#66727a;display:block}.best{color:var(--good);font-weight:600}
img{max-width:100%;image-rendering:auto;border:1px solid var(--line)}
code{background:var(--pale);padding:.15rem .35rem;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.2rem;font-size:.86rem}
dt{font-weight:600}dd{margin:0;overflow-wrap:anywhere}
"""
_WAYS = {"higher": "higher is better", "lower": "lower is better", "neither": "to compare with"}


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """The pictures of a page.

    Attributes:
      rows: from positions of the list of pairs to the pictures of the first report.
      skeleton: of their poses.
      count: pictures in each sheet.
      seed: of the random ones.
    """

    rows: Callable[[np.ndarray], Sequence[SheetRow]]
    skeleton: Skeleton
    count: int = 8
    seed: int = 0


def page(
    title: str,
    command: str,
    reports: Sequence[Report],
    table: ScoreTable | None = None,
    differences: Mapping[str, Mapping[str, Interval]] | None = None,
    groups: Sequence[Group] = (),
    pictures: Shown | None = None,
    extra_sheets: Sequence[str] = ("pose_error", "found_precision", "gaussian_ssim"),
) -> str:
    """The page: scores, pictures, best and worst cases, hard and easy pairs, conditions.

    Args:
      title, command: shown at its top.
      reports: of the same pictures' pairs, the one that matters first.
      table: the scores of each of the first report's pictures; None leaves cases out.
      differences: of the other reports to the first, see `repose_jax.evaluation.report.paired`.
      groups: breakdown of the first report.
      pictures: what to draw; None draws nothing.
      extra_sheets: scores of which the best and worst cases are shown, where they were measured.

    Raises:
      ValueError: see `repose_jax.evaluation.report.table.check_alike`.
    """
    check_alike(reports)
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(caption(reports[0]))}</p>",
             f"<p><code>{html.escape(command)}</code></p>", _scores(reports)]
    if differences:
        parts.append(_differences(reports[0].name, differences))
    if pictures is not None:
        count = len(table) if table is not None else pictures.count
        some = np.sort(np.random.default_rng(pictures.seed).choice(
            count, min(2 * pictures.count, count), replace=False))
        parts.append("<h2>Some results, drawn at random</h2>" + _sheet(pictures, some))
        if table is not None:
            parts += [_cases(pictures, table, name) for name in extra_sheets
                      if name in table.values and np.isfinite(table.values[name]).any()]
    if groups:
        parts.append(_groups(groups))
    for report in reports[:1]:
        parts.append("<h2>Conditions</h2><dl>" + "".join(
            f"<dt>{html.escape(str(key))}</dt><dd>{html.escape(str(value))}</dd>"
            for key, value in report.conditions.items()) + "</dl>")
    return ('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n<body>"
            + "\n".join(parts) + "</body></html>\n")


def _scores(reports: Sequence[Report]) -> str:
    names = list(reports[0].scores)
    head = "".join(f"<th>{html.escape(report.name)}</th>" for report in reports)
    body = []
    for name in names:
        known = facts(name)
        best, cells = best_value(name, reports), []
        for report in reports:
            text, _, interval = shown(name, report.scores[name]).partition(" ")
            first = report.competes and report.scores[name].value == best
            kind = ' class="best"' if first else ""
            cells.append(f"<td{kind}>{text}<small>{interval}</small></td>")
        body.append(f"<tr><td>{html.escape(known.title)}<small>{_WAYS[known.better]}</small></td>"
                    + "".join(cells) + "</tr>")
    return (f'<h2>Scores</h2><div class="wide"><table><tr><th></th>{head}</tr>'
            + "\n".join(body) + "</table></div>")


def _differences(first: str, differences: Mapping[str, Mapping[str, Interval]]) -> str:
    names = list(dict.fromkeys(name for found in differences.values() for name in found))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in differences)
    body = []
    for name in names:
        cells = []
        for found in differences.values():
            text, _, interval = (shown(name, found[name]) if name in found else "").partition(" ")
            # Beyond doubt: 0 lies outside of the interval.
            sure = name in found and (found[name].low > 0 or found[name].high < 0)
            cells.append(f"<td>{f'<b>{text}</b>' if sure else text}<small>{interval}</small></td>")
        body.append(f"<tr><td>{html.escape(facts(name).title)}</td>{''.join(cells)}</tr>")
    return (f"<h2>Difference to {html.escape(first)}, picture by picture</h2><p>Bold where the "
            f'interval leaves out 0.</p><div class="wide"><table><tr><th></th>{head}</tr>'
            + "\n".join(body) + "</table></div>")


def _groups(groups: Sequence[Group]) -> str:
    names = list(dict.fromkeys(name for group in groups for name in group.scores))
    head = "".join(f"<th>{html.escape(facts(n).title)}</th>" for n in names)
    body = "".join(
        f"<tr><td>{html.escape(g.by)}: {g.name}<small>{g.low:.3f} to {g.high:.3f}, "
        f"{g.pictures} pictures</small></td>" + "".join(
            f"<td>{shown(n, g.scores[n]) if n in g.scores else ''}</td>" for n in names) + "</tr>"
        for g in groups)
    return ('<h2>Easy and hard pairs</h2><div class="wide"><table><tr><th></th>'
            f"{head}</tr>{body}</table></div>")


def _cases(pictures: Shown, table: ScoreTable, name: str) -> str:
    """The best and the worst pictures by a score."""
    values, known = table.values[name], facts(name)
    finite = np.flatnonzero(np.isfinite(values))
    order = finite[np.argsort(values[finite], kind="stable")]
    if known.better == "higher":
        order = order[::-1]
    return (f"<h2>Best and worst by {html.escape(known.title)}</h2>"
            f"<h3>best</h3>{_sheet(pictures, order[:pictures.count])}"
            f"<h3>worst</h3>{_sheet(pictures, order[::-1][:pictures.count])}")


def _sheet(pictures: Shown, positions: np.ndarray) -> str:
    sheet = draw_sheet(pictures.rows(positions), pictures.skeleton, across=4)
    buffer = io.BytesIO()
    sheet.save(buffer, format="JPEG", quality=88)
    return ('<img alt="source, target pose, generated picture and real target of some pairs" '
            f'src="data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}">')
