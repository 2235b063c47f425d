"""Writes the page of the public interface from its docstrings.

    python -m repose_jax.experiments.api_page > docs/api.md
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import repose_jax

_HEAD = """# The public interface

What `repose_jax` exports; it is kept from version to version (CHANGELOG.md). This page is made from the
docstrings: `python -m repose_jax.experiments.api_page > docs/api.md`.
"""


def page() -> str:
    """The page, Markdown."""
    names = [name for name in repose_jax.__all__ if name != "__version__"]
    return "\n".join([_HEAD, *(_entry(name, getattr(repose_jax, name)) for name in names)])


def _entry(name: str, thing: Any) -> str:
    lines = [f"## {name}", "", f"`from repose_jax import {name}` "
             f"(`{thing.__module__}`)", "", *_block(name, thing)]
    if inspect.isclass(thing):
        for method, value in vars(thing).items():
            function = inspect.unwrap(getattr(value, "__func__", value))
            public = not method.startswith("_") or method == "__call__"
            if public and inspect.isfunction(function) and function.__doc__:
                lines += [f"### {name}.{method}", "", *_block(method, function)]
    return "\n".join(lines)


def _block(name: str, thing: Any) -> list[str]:
    # Where a default lies in memory says nothing, and is another each time.
    signature = re.sub(r"<[^()]* at 0x\w+>", "...", str(inspect.signature(thing)))
    signature = re.sub(r"<class '([\w.]+)'>", r"\1", signature)
    # Annotations are kept as text, and shown quoted.
    for quote in ("'", '"'):
        signature = re.sub(f"(: |-> ){quote}([^{quote}]*){quote}", r"\1\2", signature)
    text = f"{name}{signature}" if inspect.isfunction(thing) else ""
    return ["```text", *([text, ""] if text else []), inspect.getdoc(thing) or "", "```", ""]


if __name__ == "__main__":
    print(page(), end="")
