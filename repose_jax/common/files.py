"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import BinaryIO

from repose_jax.common.errors import UserError


def check_writable(folder: str | os.PathLike[str]) -> None:
    """Makes a folder and refuses one that cannot be written, before work is put into its content.

    Raises:
      UserError: names the folder.
    """
    mend = "choose a place that can be written"
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UserError(folder, f"cannot be made a folder ({error.strerror})", mend) from None
    if not os.access(folder, os.W_OK):
        raise UserError(folder, "cannot be written", mend)


def write_whole(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Writes a file under a temporary name beside it, then renames it.

    Args:
      path: of the file; its folder is made if missing.
      write: gets the open binary file.

    Raises:
      UserError: where the folder or the file cannot be written.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            write(file)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(path, f"cannot be written ({error.strerror or error})",
                        "choose a folder that can be written") from None
    finally:
        # os.path, as pathlib raises where a folder may not even be looked into.
        if os.path.isfile(temporary):
            os.unlink(temporary)
