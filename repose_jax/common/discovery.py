"""Finds modules by what they define, so that nothing needs to list them."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import pkgutil


def modules_with(package: str, attribute: str) -> dict[str, str]:
    """The full names of a package's modules that assign an attribute, by their last names, sorted.

    They are read, not imported.
    """
    found = {}
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        spec = importlib.util.find_spec(f"{package}.{info.name}")
        if spec is None or not isinstance(spec.loader, importlib.abc.InspectLoader):
            continue  # nothing that has a source
        if f"\n{attribute} = " in (spec.loader.get_source(spec.name) or ""):
            found[info.name] = spec.name
    return dict(sorted(found.items()))
