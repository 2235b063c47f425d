"""Other people's words in Markdown."""

from __future__ import annotations

import html


def cell(text: str) -> str:
    """A text in a cell of a table: shown as it is, it neither ends the cell nor is markup."""
    text = html.escape(" ".join(text.split()), quote=False)
    for character in "\\|`[]*":
        text = text.replace(character, f"\\{character}")
    return text
