"""Finds modules by what they define, so that nothing needs to list them, and files of packages."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import pathlib
import pkgutil

from repose_jax.common.errors import UserError


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


def packaged_file(
    package: str, inside: str, holds: str, install: str, otherwise: str
) -> pathlib.Path:
    """A file in an installed package, which is not imported.

    Args:
      package: its name.
      inside: the file's path within the package's folder.
      holds: what the package is wanted for, for the error.
      install, otherwise: the two mends: a command, and what to do without the package.

    Raises:
      UserError: it is not installed, or holds no such file.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(package, f"the package that holds {holds} is not installed",
                        f"run `{install}`, or {otherwise}")
    file = pathlib.Path(spec.origin).parent / inside
    if not file.is_file():
        raise UserError(file, f"the package `{package}` has no such file",
                        f"run `pip install --force-reinstall {package}`, or {otherwise}")
    return file
