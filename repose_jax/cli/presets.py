"""Presets, found where they lie: by the name of their module, or by the path of anybody's file."""

from __future__ import annotations

import importlib
import importlib.util
import pathlib
import sys
import traceback
from types import ModuleType
from typing import Any

from repose_jax.common.discovery import modules_with
from repose_jax.common.errors import UserError


def preset_names(package: str, attribute: str) -> dict[str, str]:
    """The modules of a package that define an attribute, by their names with - for _."""
    return {name.replace("_", "-"): module
            for name, module in modules_with(package, attribute).items()}


def load_preset(word: str, package: str, attribute: str) -> Any:
    """The attribute of a preset that a word of the command line stands for.

    Args:
      word: a name of `preset_names`, or the path of a Python file.
      package, attribute: see `preset_names`.

    Raises:
      UserError: it is neither, the file cannot be run, or it lacks the attribute.
    """
    names = preset_names(package, attribute)
    if word in names:
        return getattr(importlib.import_module(names[word]), attribute)
    path = pathlib.Path(word)
    if path.suffix != ".py":
        raise UserError(word, "is not a preset",
                        f"choose one of {', '.join(names)}, or give a file that ends in .py")
    if not path.is_file():
        raise UserError(path, "is no file", "give the path of a preset")
    module = _run(path)
    if not hasattr(module, attribute):
        raise UserError(path, f"defines no {attribute}", f"let it say {attribute} = ...")
    return getattr(module, attribute)


def _run(path: pathlib.Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"preset_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(path, "is no Python file", "give the path of a preset")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:
        # Anybody's code may raise anything; where it did is what its author needs to know.
        here = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
                if frame.filename == str(path)]
        line = getattr(error, "lineno", None) or (here[-1] if here else "?")
        raise UserError(path, f"cannot be run: line {line}: {type(error).__name__}: {error}",
                        "mend the file") from None
    return module
