"""Weight files to give away: safetensors, which holds parameters and a few strings, and runs no
code when it is read.

They may come from strangers. Whatever is in one, reading it is a result or one line, and costs memory
and time of the order of its size.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from repose_jax.common.errors import UserError
from repose_jax.common.files import write_content
from repose_jax.common.json_text import parse_json
from repose_jax.training.state import Params


# As numpy has them; the eight-bit floats that newer files may hold are of no network here.
_TYPES = {"F16", "F32", "F64", "BF16", "BOOL", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64"}
_TYPE_HINT = "use a file whose tensors have the types that `repose train` writes"
_AGAIN = "fetch or export it again"
_DEPTH = 32  # of names in names


@dataclasses.dataclass(frozen=True, eq=False)
class WeightFile:
    """A safetensors file, read once.

    Attributes:
      path: of the file.
      metadata: the strings stored with the parameters.
      tensors: arrays by their names, parts of a name joined by "/", in the types of the file.
      sha256: of the whole file.
    """

    path: pathlib.Path
    metadata: dict[str, str]
    tensors: dict[str, np.ndarray]
    sha256: str

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> WeightFile:
        """Reads a file.

        Raises:
          UserError: missing, unreadable, damaged or not a safetensors file; a tensor that is of
            no known type, is not finite, or whose name is no place of its own.
        """
        path = pathlib.Path(path)
        try:
            content = path.read_bytes()
            header = _header(path, content)
            tensors = safetensors.numpy.load(content)
        except FileNotFoundError as error:
            raise UserError(path, "no such file", "give the path of a .safetensors file") from error
        except OSError as error:
            raise UserError(path, f"cannot be read ({error.strerror or error})",
                            "give a .safetensors file") from error
        except safetensors.SafetensorError as error:
            raise _damaged(path, error) from error
        for name, value in tensors.items():
            with np.errstate(over="ignore"):
                single = value.astype(np.float32, copy=False)  # in which networks compute
            if not np.isfinite(single).all():
                raise UserError(path, f"{name:.80} has values that are not finite",
                                "export an earlier checkpoint, or fetch the file again")
        return cls(path, header.get("__metadata__") or {}, tensors,
                   hashlib.sha256(content).hexdigest())

    def params(self, like: Params | None = None) -> Params:
        """The parameters as a nested dict of numpy arrays.

        Args:
          like: what the network expects (arrays or `jax.ShapeDtypeStruct`s): names and shapes are
            checked against it and its types are taken. Without it floats come back as float32.

        Raises:
          UserError: they are not what `like` asks.
        """
        if like is None:
            tensors = {name: value.astype(np.float32) if jnp.issubdtype(value.dtype, jnp.floating)
                       else value for name, value in self.tensors.items()}
        else:
            tensors = _matched(self.path, self.tensors, _flat(like))
        return flax.traverse_util.unflatten_dict(tensors, sep="/")


def _header(path: pathlib.Path, content: bytes) -> dict[str, Any]:
    """What a file says of its tensors; their places in it are for the library to check.

    The format: eight bytes that hold the header's length, the header as JSON, the arrays.
    """
    size = int.from_bytes(content[:8], "little")
    if size > len(content) - 8:
        raise _damaged(path, "it is cut short")
    header = parse_json(content[8:8 + size], path, "damaged or not a safetensors file", _AGAIN)
    if not isinstance(header, dict):
        raise _damaged(path, "its header is no table")
    names = [name for name in header if name != "__metadata__"]
    _refuse_names(path, names)
    for name in names:
        kind = header[name].get("dtype") if isinstance(header[name], dict) else None
        if not isinstance(kind, str):
            raise _damaged(path, f"{name:.80} has no type")
        if kind not in _TYPES:
            raise UserError(path, f"{name:.80} is of the type {kind!s:.20}", _TYPE_HINT)
    return header


def _damaged(path: pathlib.Path, why: object) -> UserError:
    return UserError(path, f"damaged or not a safetensors file ({why!s:.200})", _AGAIN)


def _refuse_names(path: pathlib.Path, names: list[str]) -> None:
    """Raises UserError for names that are no paths in a nested dict."""
    known = set(names)
    for name in names:
        parts = name.split("/")
        inner = ("/".join(parts[:count]) for count in range(1, min(len(parts), _DEPTH)))
        if len(parts) > _DEPTH or not all(parts) or any(part in known for part in inner):
            raise UserError(path, f"has a tensor of the name {name!r:.80}, which is no place of "
                            "its own in a network", "use a file that `repose train` wrote")


def export_safetensors(
    path: str | os.PathLike[str], params: Params, metadata: Mapping[str, str],
    dtype: Any = np.float16,
) -> None:
    """Writes parameters to a file, all or nothing.

    Args:
      path: the file; an old one is replaced.
      params: nested dict of arrays; names are joined by "/".
      metadata: strings to keep with them.
      dtype: floating point arrays are stored so; others as they are.

    Raises:
      UserError: a value does not fit into `dtype`, or the file cannot be written.
    """
    path = pathlib.Path(path)
    tensors = {}
    for name, leaf in _flat(params).items():
        value = np.asarray(leaf)
        if jnp.issubdtype(value.dtype, jnp.floating):
            with np.errstate(over="ignore"):
                value = value.astype(dtype)
            if not np.isfinite(value).all():
                raise UserError(path, f"{name} has values that {np.dtype(dtype)} cannot hold",
                                "export as float32, or from an earlier checkpoint")
        tensors[name] = np.asarray(value, order="C")
    data = _sorted_header(safetensors.numpy.save(tensors, metadata=dict(metadata)))
    write_content(path, data)


def _sorted_header(data: bytes) -> bytes:
    """A file's content with its header in one order: the library's order of strings is random."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    strings = header.pop("__metadata__", {})
    header = {"__metadata__": dict(sorted(strings.items()))} | dict(sorted(header.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8, and say where after that
    return len(text).to_bytes(8, "little") + text + data[8 + size:]


def load_safetensors(
    path: str | os.PathLike[str], like: Params | None = None
) -> tuple[Params, dict[str, str]]:
    """Parameters of a file, see `WeightFile.params`, and the strings stored with them.

    Raises:
      UserError: missing, unreadable, damaged or not a safetensors file, or not what `like` asks.
    """
    file = WeightFile.read(path)
    return file.params(like), file.metadata


def fitted(path: str | os.PathLike[str], params: Params, like: Params) -> Params:
    """Parameters that were read from a file, as another network wants them; see `WeightFile.params`.

    Raises:
      UserError: they are not what `like` asks.
    """
    return flax.traverse_util.unflatten_dict(
        _matched(pathlib.Path(path), _flat(params), _flat(like)), sep="/")


def _matched(path: pathlib.Path, tensors: dict[str, np.ndarray], like: dict[str, Any]
             ) -> dict[str, np.ndarray]:
    mend = "use weights and a configuration that belong together"
    for name, leaf in like.items():
        if name not in tensors:
            raise UserError(path, f"lacks the tensor {name}", mend)
        for kind in (jnp.floating, jnp.integer):
            if jnp.issubdtype(leaf.dtype, kind) and not jnp.issubdtype(tensors[name].dtype, kind):
                raise UserError(path, f"{name} is of the type {tensors[name].dtype}", _TYPE_HINT)
        if tensors[name].shape != tuple(leaf.shape):
            raise UserError(path, f"{name} has the shape {list(tensors[name].shape)} where the "
                            f"model has {list(leaf.shape)}", mend)
    for name in tensors:
        if name not in like:
            raise UserError(path, f"has the tensor {name:.80} that the model lacks", mend)
    return {name: tensors[name].astype(leaf.dtype) for name, leaf in like.items()}


def _flat(params: Params) -> dict[str, Any]:
    flat = flax.traverse_util.flatten_dict(params)
    for key in flat:
        if any("/" in part for part in key):
            raise ValueError(f"a parameter's name has a slash: {key}")
    return {"/".join(key): leaf for key, leaf in flat.items()}
