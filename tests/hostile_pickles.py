"""Files whose pickles are written step by step."""

from __future__ import annotations

import io
import pathlib
import zipfile

import numpy as np


def zipped(pickled: bytes, **records: bytes) -> bytes:
    """PyTorch's archive of a pickle and of the bytes of its storages, "data/KEY"."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {"data.pkl": pickled, **records}.items():
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def packed(path: pathlib.Path, steps: bytes, compression: int = zipfile.ZIP_STORED) -> pathlib.Path:
    """A pose file of a pickle: an array of one thing, as NumPy writes it."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("arr_0.npy", header.getvalue() + steps)
    return path
