"""One process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator
from typing import BinaryIO

from repose_jax.common.errors import UserError


@contextlib.contextmanager
def alone(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keeps other processes that ask for the same out of a folder, which is made if missing.

    The lock ends with the process, however that ends. Afterwards an empty folder is taken away. Two
    threads of one process keep each other out, too.

    Raises:
      UserError: where another process is in it, or it has a file `lock` that holds something.
      OSError: where the folder cannot be written or locked.
    """
    path = pathlib.Path(folder, "lock")
    file = _locked(path)
    try:
        yield
    finally:
        if _is(file, path):
            path.unlink()
        file.close()
        with contextlib.suppress(OSError):  # it is gone, or holds something
            path.parent.rmdir()


def _locked(path: pathlib.Path) -> BinaryIO:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # What is there already may be somebody's: it is neither emptied nor, a link, followed.
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+b")
        except FileNotFoundError:  # whoever was in the folder has just taken it away
            continue
        if os.fstat(file.fileno()).st_size:
            file.close()
            raise UserError(path, "is there and is no lock, as it holds something",
                            "choose another folder, or give that file another name")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            if isinstance(error, BlockingIOError):
                raise UserError(path.parent, "is in use by another process",
                                "wait until that has ended") from None
            raise
        # Whoever had it until now has deleted it: others would find the name free.
        if _is(file, path):
            return file
        file.close()


def _is(file: BinaryIO, path: pathlib.Path) -> bool:
    """Whether a path still names an open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def in_use(folder: str | os.PathLike[str]) -> bool:
    """Whether a process is in a folder, see `alone`; it is not kept out of it.

    Raises:
      OSError: the lock cannot be read.
    """
    try:
        file = open(pathlib.Path(folder, "lock"), "rb")
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # let go with the file
        except BlockingIOError:
            return True
    return False
