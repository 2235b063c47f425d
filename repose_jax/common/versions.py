"""Which versions of packages are installed, to be written beside what they made."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence


def versions(packages: Sequence[str]) -> dict[str, str]:
    """The version of each package; "not installed" where it runs from a source tree."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
