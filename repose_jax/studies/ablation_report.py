"""The outcome of an ablation as tables, plots and one page."""

from __future__ import annotations

import base64
import csv
import html
import io
import math
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from repose_jax.common.fields import to_dict
from repose_jax.common.files import write_content
from repose_jax.evaluation.metrics.metric import facts
from repose_jax.evaluation.report.report import write_json
from repose_jax.evaluation.statistics.bootstrap import Bootstrap, Interval
from repose_jax.evaluation.statistics.statistic import UNKNOWN
from repose_jax.studies.ablation import Cell, Result

# Metrics of which the relative change to the first cell is told too.
_RELATIVE = ("pose_error", "leakage")
_COLUMNS = ("cell", "metric", "value", "low", "high", "difference", "difference_low",
            "difference_high", "relative", "relative_low", "relative_high")


def rows(result: Result, *, resamples: int = 2000) -> list[dict[str, Any]]:
    """A row for each cell and metric, with 95 % intervals over people.

    "difference" is to the first cell, paired by picture; "relative" that over the first cell's
    mean. The cell's settings and seconds a picture are columns too.
    """
    everyone = Bootstrap(result.persons, resamples=resamples)
    first, found = result.cells[0], []
    for number, cell in enumerate(result.cells):
        settings = {name: _plain(value) for name, value in cell.settings.items()}
        for score in result.scores:
            row: dict[str, Any] = {"cell": number, **settings, "metric": score.name,
                                   "seconds_per_picture": cell.seconds}
            values, base = cell.values[score.key], first.values[score.key]
            known = np.isfinite(values + base).reshape(len(values), -1).all(1)
            some = everyone if known.all() or not known.any() else Bootstrap(
                result.persons[known], resamples=resamples)
            values, base = values[known], base[known]
            of = score.statistic
            row |= _named("", of.of(values, some) if known.any() else UNKNOWN)
            row |= _named("difference", of.difference(values, base, some) if known.any()
                          else UNKNOWN)
            if score.name in _RELATIVE and known.any():
                row |= _named("relative", some.relative(values, base))
            found.append(row)
    return found


def _named(prefix: str, interval: Interval) -> dict[str, float]:
    names = ("value", "low", "high") if not prefix else (
        prefix, f"{prefix}_low", f"{prefix}_high")
    return dict(zip(names, interval))


def _plain(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def axes_of(cells: Iterable[Cell]) -> list[str]:
    """The settings that differ between the cells, in order of appearance."""
    cells = list(cells)
    names = list(dict.fromkeys(name for cell in cells for name in cell.settings))
    return [n for n in names if len({repr(cell.settings.get(n)) for cell in cells}) > 1]


def write_report(result: Result, folder: str | os.PathLike[str], command: str) -> pathlib.Path:
    """Writes results.csv (tidy), results.json, table.md, the plots and index.html.

    Args:
      result: of the ablation.
      folder: where to.
      command: that gives it again.

    Returns:
      The page, which holds everything and needs no other file.
    """
    folder = pathlib.Path(folder)
    found = rows(result)
    axes = axes_of(result.cells)
    table = io.StringIO()
    columns = list(dict.fromkeys(
        [_COLUMNS[0], *(n for cell in result.cells for n in cell.settings), *_COLUMNS[1:],
         "seconds_per_picture"]))
    writer = csv.DictWriter(table, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    write_content(folder / "results.csv", table.getvalue())
    write_json(folder / "results.json", {
        "title": result.ablation.title, "command": command, "conditions": result.conditions,
        "seeds": list(result.ablation.seeds), "pictures": len(result.persons),
        "people": len(set(result.persons.tolist())),
        "cells": [{"settings": dict(cell.settings), "sample": to_dict(cell.sample)}
                  for cell in result.cells], "rows": found})
    text = markdown(result, found)
    write_content(folder / "table.md", text)
    plots = {f"{axis}.png": _curves(result, found, axis) for axis in axes
             if _numeric(result, axis)}
    plots["pareto.png"] = _pareto(result, found, axes)
    for name, png in plots.items():
        write_content(folder / name, png)
    page = _page(result, found, plots, command)
    write_content(folder / "index.html", page)
    return folder / "index.html"


def _label(settings: Mapping[str, Any], axes: list[str]) -> str:
    return ", ".join(f"{n.split('.')[-1]} {_plain(settings[n])}" for n in axes if n in settings
                     ) or "as the model has it"


def _cells_of(result: Result, found: list[dict]) -> list[dict[str, dict]]:
    """For each cell its rows by metric."""
    return [{row["metric"]: row for row in found if row["cell"] == number}
            for number in range(len(result.cells))]


def _text(row: dict) -> str:
    if not np.isfinite(row["value"]):
        return ""
    text = f"{row['value']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"
    if np.isfinite(row.get("relative", np.nan)) and row["cell"]:
        text += (f" ({100 * row['relative']:+.1f} % [{100 * row['relative_low']:+.1f}, "
                 f"{100 * row['relative_high']:+.1f}])")
    elif row["cell"]:
        text += (f" ({row['difference']:+.4f} [{row['difference_low']:+.4f}, "
                 f"{row['difference_high']:+.4f}])")
    return text


def markdown(result: Result, found: list[dict]) -> str:
    """A Markdown table, a row a cell; in parentheses the change to the first cell."""
    axes = axes_of(result.cells)
    titles = [facts(score.name).title for score in result.scores]
    lines = ["| cell | " + " | ".join(titles) + " | s a picture |",
             "|---" * (2 + len(titles)) + "|"]
    for cell, by_metric in zip(result.cells, _cells_of(result, found)):
        seconds = f"{cell.seconds:.3f}" if math.isfinite(cell.seconds) else ""
        lines.append(f"| {_label(cell.settings, axes)} | "
                     + " | ".join(_text(by_metric[s.name]) for s in result.scores) + f" | {seconds} |")
    lines += ["", f"{_whom(result)}, seeds "
              f"{', '.join(map(str, result.ablation.seeds))}; in brackets 95 % bootstrap intervals "
              "over people, in parentheses the change to the first row, paired by picture."]
    return "\n".join(lines) + "\n"


def _whom(result: Result) -> str:
    people = len(set(result.persons.tolist()))
    return f"{len(result.persons)} pictures of {people} people " + (
        "never trained on" if result.ablation.split == "test" else
        "of the training set (to choose settings by, not a score)")


def _numeric(result: Result, axis: str) -> bool:
    values = {cell.settings.get(axis) for cell in result.cells
              if not isinstance(cell.settings.get(axis), (list, tuple))}
    return len(values - {None}) > 2 and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) for v in values - {None})


def _figure(columns: int, lines: int = 1):
    # The object interface: pyplot would choose a backend for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure(figsize=(4.2 * columns, 3.4 * lines), layout="constrained")
    return FigureCanvasAgg(figure).figure, figure.subplots(lines, columns, squeeze=False)


def _png(figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _curves(result: Result, found: list[dict], axis: str) -> bytes:
    """Each metric against an axis, a line for every combination of the other settings."""
    cells, others = _cells_of(result, found), [n for n in axes_of(result.cells) if n != axis]
    lines: dict[str, list[int]] = {}
    for number, cell in enumerate(result.cells):
        if cell.settings.get(axis) is not None:
            lines.setdefault(_label(cell.settings, others), []).append(number)
    shown = ("pose_error", "leakage", "torso_correlation", "pif", "gaussian_ssim", "l1")
    figure, axes = _figure(3, 2)
    for place, metric in zip(axes.ravel(), shown):
        for label, numbers in lines.items():
            numbers = sorted(numbers, key=lambda i: result.cells[i].settings[axis])
            x = [result.cells[i].settings[axis] for i in numbers]
            value, low, high = (np.array([cells[i][metric][k] for i in numbers])
                                for k in ("value", "low", "high"))
            line, = place.plot(x, value, marker="o", markersize=3, label=label)
            place.fill_between(x, low, high, alpha=0.15, color=line.get_color())
        place.set_xlabel(axis)
        place.set_title(facts(metric).title, fontsize=10)
        place.grid(alpha=0.3)
    if 1 < len(lines) <= 8:
        axes[0, 0].legend(fontsize=7)
    return _png(figure)


def _pareto(result: Result, found: list[dict], axes_named: list[str]) -> bytes:
    """Pose error against identity and against cost; what no other cell beats in both is joined."""
    cells = _cells_of(result, found)
    error = np.array([c["pose_error"]["value"] for c in cells])
    identity = np.array([c["torso_correlation"]["value"] for c in cells])
    seconds = np.array([cell.seconds for cell in result.cells])
    figure, axes = _figure(2)
    for place, x, title, better in (
            (axes[0, 0], identity, "torso colour (identity)", -1),
            (axes[0, 1], seconds, "seconds a picture", 1)):
        place.scatter(x, error, s=16)
        for i, cell in enumerate(result.cells):
            if len(cells) <= 16 and np.isfinite(x[i]):
                place.annotate(_label(cell.settings, axes_named)[:40], (x[i], error[i]), fontsize=6)
        front = [i for i in range(len(cells)) if np.isfinite(x[i]) and not any(
            better * x[j] <= better * x[i] and error[j] <= error[i]
            and (x[j] != x[i] or error[j] != error[i]) for j in range(len(cells)))]
        front.sort(key=lambda i: x[i])
        place.plot(x[front], error[front], linewidth=1, alpha=0.6)
        place.set_xlabel(title)
        place.set_ylabel(facts("pose_error").title)
        place.grid(alpha=0.3)
    return _png(figure)


def _page(result: Result, found: list[dict], plots: dict[str, bytes], command: str) -> str:
    axes = axes_of(result.cells)
    head = "".join(f"<th>{html.escape(text)}</th>" for text in (
        "cell", *(facts(score.name).title for score in result.scores), "s a picture"))
    body = ""
    for cell, by_metric in zip(result.cells, _cells_of(result, found)):
        cells = [_label(cell.settings, axes),
                 *(_text(by_metric[score.name]) for score in result.scores),
                 f"{cell.seconds:.3f}" if math.isfinite(cell.seconds) else ""]
        body += "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in cells) + "</tr>\n"
    images = "".join(
        f'<h2>{html.escape(name.removesuffix(".png"))}</h2>'
        f'<img alt="{html.escape(name)}" src="data:image/png;base64,'
        f'{base64.b64encode(png).decode()}">\n' for name, png in plots.items())
    conditions = "".join(f"<dt>{html.escape(str(k))}</dt><dd>{html.escape(str(v))}</dd>"
                    for k, v in result.conditions.items())
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{html.escape(result.ablation.title)}</title>
<style>body{{font:14px/1.4 sans-serif;margin:2em;max-width:110em}}table{{border-collapse:collapse}}
td,th{{border:1px solid #ccc;padding:.3em .6em;text-align:left;vertical-align:top}}
tr:nth-child(even){{background:#f6f6f6}}dt{{font-weight:bold}}img{{max-width:100%}}</style>
<h1>{html.escape(result.ablation.title)}</h1>
<p>{_whom(result)}. Brackets: 95 % bootstrap
intervals over people. Parentheses: change to the first row, paired by picture.</p>
<p><code>{html.escape(command)}</code></p>
<table><tr>{head}</tr>
{body}</table>
{images}<h2>conditions</h2><dl>{conditions}</dl></html>
"""
