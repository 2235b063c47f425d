"""PyTorch's weight files (.pth, .pt), read without PyTorch and without running what they hold.

Two formats are in use. Since PyTorch 1.6 a file is a zip archive: `data.pkl`, a pickle that names
its storages by key, and `data/<key>`, their bytes. Up to 1.5 it is a row of pickles: a magic
number, a version, facts of the machine, the object itself and the keys of its storages; then, in
the order of the keys, the number of elements and the bytes of each storage.

A pickle may call anything that it names. Here it can name only what a dictionary of tensors needs,
and each of these names stands for a function or a type of this file; everything else is refused.
A small one may also ask for much: its steps are looked through before they are taken and what they
copy is counted (`repose_jax.common.pickle_steps`), what it refers to often is resolved once, and no
tensor is larger than the bytes that it looks at.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import pathlib
import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from jaxtyping import Shaped

from repose_jax.common.errors import UserError
from repose_jax.common.pickle_steps import (
    AsksTooMuch, BoundedUnpickler, check_key, check_steps, ordered)

FROM_NAME = "from the file's name"
"""Stands for the first digits of the SHA-256 that PyTorch's hub writes into a file's name."""

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_HASH = re.compile(r"-([0-9a-f]{8,64})\.(?:pth|pt)$")
_MEND = "fetch it again, or give a .pth or .pt file that torch.save wrote"

_STORAGES = {
    "HalfStorage": np.float16, "FloatStorage": np.float32, "DoubleStorage": np.float64,
    "BFloat16Storage": ml_dtypes.bfloat16, "ByteStorage": np.uint8, "CharStorage": np.int8,
    "ShortStorage": np.int16, "IntStorage": np.int32, "LongStorage": np.int64,
    "BoolStorage": np.bool_}

# What unpickling bytes that are no pickle, or half of one, is known to raise.
_DAMAGE = (pickle.UnpicklingError, zipfile.BadZipFile, EOFError, OSError, AttributeError,
           ImportError, IndexError, KeyError, TypeError, ValueError, OverflowError, MemoryError,
           RuntimeError, struct.error)


class _Refused(Exception):
    """The file is whole but not what this reader takes; the text says why."""


_MOST_AXES = 64  # of NumPy's arrays

_PENDING = object()  # stands for what is being resolved


class _StorageType(NamedTuple):
    dtype: np.dtype


class _Storage(NamedTuple):
    elements: np.ndarray


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _OldParameter:
    """A parameter of early PyTorch: made of a tensor, or with it first of five in its state."""

    data: Any = None

    def __init__(self, data: Any = None, *_more: Any):
        self.data = data

    def __setstate__(self, state: tuple) -> None:
        if len(state) == 5:
            self.data = state[0]


class _Ignored:
    """Stands for a thing of unknown type; does nothing, whatever a pickle does with it."""

    def __new__(cls, *_args: Any, **_more: Any):
        return super().__new__(cls)

    def __init__(self, *_args: Any, **_more: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """As a list has it."""

    def extend(self, values: Any) -> None:
        """As a list has it."""

    def add(self, value: Any) -> None:
        """As a set has it."""


def check_hash(path: str | os.PathLike[str], sha256_prefix: str | None = FROM_NAME) -> str:
    """Checks that a file is the one that was meant.

    Args:
      path: of the file.
      sha256_prefix: the first hexadecimal digits of its SHA-256. By default those in its name, as
        in `alexnet-owt-7be5be79.pth`; None asks for no check.

    Returns:
      The file's whole SHA-256, 64 hexadecimal digits.

    Raises:
      UserError: missing, unreadable, another hash, or no hash in the name where it is to be used.
    """
    path = pathlib.Path(path)
    if sha256_prefix == FROM_NAME:
        found = _HASH.search(path.name)
        if found is None:
            raise UserError(path, "has no hash in its name, as in name-0123abcd.pth",
                            "name it as it was published, or say which SHA-256 it must have")
        sha256_prefix = found[1]
    digest = hashlib.sha256(_bytes_of(path)).hexdigest()
    if sha256_prefix is not None and not digest.startswith(sha256_prefix.lower()):
        raise UserError(path, f"has a SHA-256 of {digest[:16]}..., where {sha256_prefix} is asked "
                        "for", "fetch it again, it is damaged or another file")
    return digest


def read_state_dict(
    path: str | os.PathLike[str], sha256_prefix: str | None = FROM_NAME
) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Reads a flat dictionary of tensors.

    Args:
      path: of the file.
      sha256_prefix: see `check_hash`.

    Returns:
      The tensors by name, in the file's order and types (bfloat16 as that of ml_dtypes); they may
      share memory and cannot be written.

    Raises:
      UserError: missing, unreadable, damaged, with another hash, or not such a dictionary.
    """
    check_hash(path, sha256_prefix)
    content = read_torch(path)
    if not isinstance(content, Mapping):
        raise UserError(path, f"holds a {type(content).__name__}, no dictionary of tensors", _MEND)
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray):
            raise UserError(path, f"holds a {type(value).__name__} under {name!r:.80}, no tensor",
                            "give a file that holds a state dict and nothing else")
    return dict(content)


def read_torch(path: str | os.PathLike[str], only: Collection[str] | None = None) -> Any:
    """Reads what `torch.save` wrote: tensors in dictionaries, lists and tuples, and plain values.

    The hash is not looked at; see `check_hash`.

    Args:
      path: of the file.
      only: keys of the dictionary that the file must then be; the others come with None, and may
        hold anything, such as the settings of the program that trained: what is not known is
        passed over and none of it runs.

    Raises:
      UserError: missing, unreadable, damaged, or with anything else inside.
    """
    data = _bytes_of(path)
    try:
        read = _read_zip if data[:4] == b"PK\x03\x04" else _read_legacy
        content = read(data, only is not None)
        if only is not None:
            if not isinstance(content, Mapping):
                raise _Refused(f"holds a {type(content).__name__.lstrip('_')}, no dictionary")
            content = {key: value if key in only else None for key, value in content.items()}
        return _resolved(content, {})
    except (_Refused, AsksTooMuch) as error:
        raise UserError(path, str(error), _MEND) from None
    except _DAMAGE as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise UserError(path, f"damaged or no file of PyTorch ({first})", _MEND) from None


def _bytes_of(path: str | os.PathLike[str]) -> bytes:
    try:
        return pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(path, "no such file", "give the path of a .pth or .pt file") from None
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror or error})", _MEND) from None


def _read_zip(data: bytes, lenient: bool) -> Any:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = {name.partition("/")[2]: name for name in archive.namelist()}
        if "data.pkl" not in names:
            raise _Refused("is a zip archive that torch.save did not write")

        def record(name):
            entry = archive.getinfo(names[name])
            # What torch.save writes is stored as it is; a small file cannot then be a large one.
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(data):
                raise _Refused(f"has the record {name} compressed")
            return archive.read(entry)

        little = "byteorder" not in names or record("byteorder") != b"big"
        records: dict[str, bytes] = {}

        def storage(kind, key, _location, count):
            if key not in records:
                records[key] = record(f"data/{key}")
            stored = np.frombuffer(records[key], _ordered(kind, little))
            if len(stored) != count:
                raise _Refused(f"has {len(stored)} elements in storage {key} where {count} belong")
            return stored

        return _load(io.BytesIO(record("data.pkl")), storage, lenient)


def _read_legacy(data: bytes, lenient: bool) -> Any:
    file = io.BytesIO(data)
    if _plain(file) != _MAGIC:
        raise _Refused("is no file of PyTorch")
    if _plain(file) != _PROTOCOL:
        raise _Refused("is of a version of PyTorch's format that is not known")
    little = _plain(file)["little_endian"]
    storages: dict[str, np.ndarray] = {}
    promised = 0

    def storage(kind, key, _location, count, view=None):
        # The bytes come after the pickle, so tensors look at memory that is filled later on.
        nonlocal promised
        if key not in storages:
            dtype = _ordered(kind, little)
            promised += int(count) * dtype.itemsize
            if count < 0 or promised > len(data):
                raise _Refused("is cut short: its tensors are larger than the file")
            storages[key] = np.zeros(count, dtype)
        if view is None:
            return storages[key]
        _key, start, length = view
        if not 0 <= start <= start + length <= len(storages[key]):
            raise _Refused(f"has a view that leaves storage {key}")
        return storages[key][start:start + length]

    content = _load(file, storage, lenient)
    for key in _plain(file):
        check_key(key)
        stored = storages.pop(key)
        (count,) = struct.unpack("<q" if little else ">q", file.read(8))
        if count != len(stored):
            raise _Refused(f"has {count} elements in storage {key} where {len(stored)} belong")
        if file.readinto(stored.view(np.uint8).data) != stored.nbytes:
            raise _Refused("is cut short")
    if storages:
        raise _Refused("lacks the bytes of some tensors")
    return content


def _ordered(kind: _StorageType, little: bool) -> np.dtype:
    # Such files are too rare to have one to test with.
    if not little and kind.dtype.itemsize > 1:
        raise _Refused("was written by a machine with the other byte order")
    return kind.dtype


def _plain(file: io.BytesIO) -> Any:
    """The next pickle, which may hold no tensor."""
    def storage(*_):
        raise _Refused("has a tensor where none belongs")

    return _load(file, storage)


def _load(
    file: io.BytesIO, storage: Callable[..., np.ndarray], lenient: bool = False
) -> Any:
    """The pickle that begins at a file's place, once its steps are known to ask for little."""
    check_steps(file)
    return _Unpickler(file, storage, lenient).load()


class _Unpickler(BoundedUnpickler):
    """Reads a pickle into plain values and `_Tensor`s, and nothing else.

    Args:
      file: at the start of the pickle.
      storage: from type, key, device and number of elements to the elements.
      lenient: let `_Ignored` stand for what is not known, instead of refusing it.
    """

    def __init__(self, file: io.BytesIO, storage: Callable[..., np.ndarray], lenient: bool):
        # Python 2 wrote some of the files that are still in use; its strings are bytes.
        super().__init__(file, encoding="utf-8")
        self._storage = storage
        self._known = _known()
        self._lenient = lenient

    def persistent_load(self, pid: Any) -> _Storage:
        """The storage that a pickle refers to."""
        if type(pid) is not tuple or not 5 <= len(pid) <= 6 or pid[0] != "storage" or not (
                isinstance(pid[1], _StorageType) and type(pid[2]) in (str, int)
                and type(pid[4]) is int):
            raise _Refused("refers to something that is no storage")
        return _Storage(self._storage(*pid[1:]))

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle may name."""
        if module in ("torch", "torch.cuda") and name in _STORAGES:
            return _StorageType(np.dtype(_STORAGES[name]))
        found = self._known.get(f"{module}.{name}")
        if found is None and self._lenient:
            return _Ignored
        if found is None:
            raise _Refused(f"names {f'{module}.{name}':.80}, which no file of weights needs: refused")
        return found


def _known() -> dict[str, Any]:
    """What a pickle may name, made anew for each so that none can change what the next one gets."""

    def tensor(storage, offset, size, stride, *_more):
        shape = (offset, *size, *stride)
        if not isinstance(storage, _Storage) or not len(size) == len(stride) <= _MOST_AXES or not all(
                type(number) is int and number < 2**63 for number in shape):
            raise _Refused("has a tensor that is not well formed")
        return _Tensor(storage, offset, size, stride)

    def size_of(numbers=()):
        if not all(type(number) is int for number in numbers):
            raise _Refused("has a size that is not made of numbers")
        return tuple(numbers)

    def parameter(data, *_more):
        return data

    class Parameter(_OldParameter):
        pass

    return {
        "collections.OrderedDict": ordered, "torch.Size": size_of,
        "torch._utils._rebuild_tensor": tensor, "torch._utils._rebuild_tensor_v2": tensor,
        "torch._utils._rebuild_parameter": parameter, "torch.nn.parameter.Parameter": Parameter}


def _resolved(content: Any, done: dict[int, Any]) -> Any:
    """The content with arrays for its tensors; refuses whatever else may not be in a file.

    `done` holds what came of each thing by its identity, so that one to which there are many ways is
    gone through once.
    """
    if content is None or type(content) in (bool, int, float, str, bytes):
        return content
    if id(content) not in done:
        done[id(content)] = _PENDING
        done[id(content)] = _resolved_once(content, done)
    if done[id(content)] is _PENDING:
        raise _Refused("holds something that holds itself")
    return done[id(content)]


def _resolved_once(content: Any, done: dict[int, Any]) -> Any:
    if isinstance(content, _Tensor):
        return _view(*content)
    if isinstance(content, _OldParameter):
        return _resolved(content.data, done)
    if type(content) in (dict, OrderedDict):
        return {key: _resolved(value, done) for key, value in content.items()}
    if type(content) in (list, tuple, set):
        return type(content)(_resolved(value, done) for value in content)
    raise _Refused(f"holds a {type(content).__name__}, which no file of weights needs: refused")


def _view(
    storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> Shaped[np.ndarray, "..."]:
    """A tensor, whose strides count elements, as a view of its storage."""
    elements, = storage
    if min((offset, *size, *stride)) < 0:
        raise _Refused("has a tensor of negative size")
    if 0 in size:
        return np.zeros(size, elements.dtype)
    if offset + sum((n - 1) * step for n, step in zip(size, stride)) >= len(elements):
        raise _Refused("has a tensor that leaves its storage")
    if math.prod(size) > len(elements):
        raise _Refused("has a tensor of more elements than its storage")
    steps = [step * elements.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(elements[offset:], size, steps, writeable=False)
