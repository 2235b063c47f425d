"""NumPy's archives (.npz) of arrays of numbers and words, read without pickles and within bounds."""

from __future__ import annotations

import os
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Collection

import numpy as np

from repose_jax.common.errors import UserError

_MOST_BYTES, _MOST_TIMES = 1 << 28, 20
# What bytes that are no archive, or one of half an array, are known to raise.
_DAMAGE = (OSError, ValueError, TypeError, KeyError, EOFError, AttributeError, IndexError, SyntaxError,
           MemoryError, OverflowError, RuntimeError, zipfile.BadZipFile, zlib.error,
           tokenize.TokenError)


def check_compression(archive: zipfile.ZipFile) -> None:
    """Refuses an archive with members that are not compressed as NumPy does it.

    The decoders of other kinds raise errors of their own, and take memory as a header asks.

    Raises:
      zipfile.BadZipFile: names the member.
    """
    for entry in archive.infolist():
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise zipfile.BadZipFile(
                f"{entry.filename!r:.80} is compressed in a way that is not NumPy's")


def read_arrays(path: str | os.PathLike[str], hint: str, needed: Collection[str] = ()
                ) -> dict[str, np.ndarray]:
    """All arrays of a file, by their names.

    Args:
      path: of the file.
      hint: what to do about one that cannot be used.
      needed: names that must be among them.

    Raises:
      UserError: missing, damaged, without one of the needed arrays, or one of Python's things; or
        it would unpack to more than 256 MB and twenty times its own size.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            check_compression(archive)
            size = sum(entry.file_size for entry in archive.infolist())
        if size > max(_MOST_BYTES, _MOST_TIMES * os.path.getsize(path)):
            raise UserError(path, f"would unpack to {size} bytes", hint)
        # NumPy warns of headers that Python 2 wrote, Python of odd ones; they are read or refused.
        with (warnings.catch_warnings(action="ignore"),
              np.load(path, allow_pickle=False) as file):
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise UserError(path, "no such file", hint) from None
    except _DAMAGE as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise UserError(path, f"damaged or no archive of arrays ({first})", hint) from None
    for name in arrays:  # a member that is no array comes as bytes
        if not isinstance(arrays[name], np.ndarray):
            raise UserError(path, f"has the member {name!r:.80}, which is no array", hint)
    for name in needed:
        if name not in arrays:
            raise UserError(path, f'has no array "{name}"', hint)
    return arrays
