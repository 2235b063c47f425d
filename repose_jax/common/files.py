"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import re
import secrets
import time
from collections.abc import Callable
from typing import BinaryIO

from repose_jax.common.errors import UserError

_TEMPORARY = re.compile(r"\..+\.\d+(?:-[0-9a-f]{8})?\.tmp")
_YOUNG_S = 60.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_writable(folder: str | os.PathLike[str]) -> None:
    """Makes a folder and refuses one that cannot be written, before work is put into its content.

    Unfinished files of `write_whole` that killed processes left in it are taken away.

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
    clear_leftovers(folder)


def user_folder(variable: str, below_home: str) -> pathlib.Path:
    """This package's folder among the user's own; it need not be there.

    Args:
      variable: of the environment, names the folder of all programs, such as XDG_CACHE_HOME.
      below_home: where that is otherwise, such as .cache.

    Raises:
      UserError: the variable is not set, and the user has no home, as in some containers.
    """
    base = os.environ.get(variable) or os.path.expanduser(f"~/{below_home}")
    if base.startswith("~"):  # which would become a folder of this name wherever this runs
        raise UserError(variable, "is not set, and this user has no home folder",
                        f"set {variable}, or HOME, to a folder")
    return pathlib.Path(base) / "repose_jax"


def cannot_write(path: str | os.PathLike[str], error: OSError) -> UserError:
    """What to tell of a file or folder whose writing failed: make room, or choose another."""
    hint = ("make room and run the same command again" if error.errno in _FULL
            else "choose a folder that can be written")
    return UserError(path, f"cannot be written ({error.strerror or error})", hint)


def write_content(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Writes a file of UTF-8 text or bytes; see `write_whole`."""
    data = content.encode() if isinstance(content, str) else content
    write_whole(path, lambda file: file.write(data))


def write_whole(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Writes a file under a temporary name beside it, then renames it.

    File and folder are synced: after a power cut, too, the file is the old or the new one, and once
    this returns it is the new one.

    Args:
      path: of the file; its folder is made if missing.
      write: gets the open binary file.

    Raises:
      UserError: where the folder or the file cannot be written, or is there and is no file.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not (path.is_file() or path.is_dir()):  # which would be replaced
            raise UserError(path, "is a device or a pipe, no file", "name a file")
        # "x" neither follows a link nor opens what somebody else has put there.
        with open(temporary, "xb") as file:
            with contextlib.suppress(OSError):  # not every file system has locks
                fcntl.flock(file, fcntl.LOCK_EX)  # it is in use, see `clear_leftovers`
            write(file)
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        with contextlib.suppress(OSError):  # it has its name by now, or was never made
            os.unlink(temporary)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Returns when the names in a folder are on the disk, where the system can tell."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(handle)


def clear_leftovers(folder: str | os.PathLike[str]) -> None:
    """Takes away temporary files of `write_whole` whose process was killed.

    One that a living process writes is locked, and one of the last minute may be about to be.
    """
    try:
        entries = [entry for entry in os.scandir(folder) if _TEMPORARY.fullmatch(entry.name)
                   and entry.is_file(follow_symlinks=False)]
    except OSError:  # one that may be written but not listed
        return
    for entry in entries:
        with contextlib.suppress(OSError):  # locked, gone, or of somebody else
            if time.time() - entry.stat(follow_symlinks=False).st_mtime >= _YOUNG_S:
                with open(entry.path, "rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(entry.path)
