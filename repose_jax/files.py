"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import BinaryIO

from repose_jax.errors import UserError


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
        if path.parent.is_dir():
            temporary.unlink(missing_ok=True)
