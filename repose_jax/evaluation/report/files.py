"""The files of a report: JSON, and what people read beside it."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

from repose_jax.common.files import write_content
from repose_jax.evaluation.report.report import Report, write_json
from repose_jax.evaluation.report.table import latex


def write_report(
    path: pathlib.Path,
    content: dict,
    reports: Sequence[Report],
    markdown: str,
    page: str,
    more: Mapping[str, bytes] | None = None,
) -> None:
    """Writes .json, .md, .tex and .html, each whole or not at all.

    Args:
      path: of the JSON; the others lie beside it.
      content: of the JSON, to which the reports are added.
      reports: of the LaTeX table.
      markdown, page: as text.
      more: further files, by what follows the stem.

    Raises:
      UserError: where a file cannot be written.
    """
    write_json(path, content | {"reports": [report.to_dict() for report in reports]})
    files = {".md": markdown.encode(), ".tex": latex(reports).encode(), ".html": page.encode()}
    for end, text in (files | dict(more or {})).items():
        write_content(path.with_name(path.stem + end), text)
