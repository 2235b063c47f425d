"""Weight files to give away: safetensors, which holds parameters and a few strings, and runs no
code when it is read."""

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
from repose_jax.common.files import write_whole
from repose_jax.training.state import Params


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
          UserError: missing, unreadable, damaged or not a safetensors file.
        """
        path = pathlib.Path(path)
        try:
            content = path.read_bytes()
            tensors = safetensors.numpy.load(content)
        except FileNotFoundError as error:
            raise UserError(path, "no such file", "give the path of a .safetensors file") from error
        except OSError as error:
            raise UserError(path, f"cannot be read ({error.strerror or error})",
                            "give a .safetensors file") from error
        except safetensors.SafetensorError as error:
            raise UserError(path, f"damaged or not a safetensors file ({error})",
                            "fetch or export it again") from error
        # The format: eight bytes that hold the header's length, the header as JSON, the arrays.
        header = json.loads(content[8:8 + int.from_bytes(content[:8], "little")])
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
            tensors = {name: value.astype(np.float32) if value.dtype.kind == "f" else value
                       for name, value in self.tensors.items()}
        else:
            tensors = _matched(self.path, self.tensors, _flat(like))
        return flax.traverse_util.unflatten_dict(tensors, sep="/")


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
    write_whole(path, lambda file: file.write(data))


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
        if tensors[name].shape != tuple(leaf.shape):
            raise UserError(path, f"{name} has the shape {list(tensors[name].shape)} where the "
                            f"model has {list(leaf.shape)}", mend)
    for name in tensors:
        if name not in like:
            raise UserError(path, f"has the tensor {name} that the model lacks", mend)
    return {name: tensors[name].astype(leaf.dtype) for name, leaf in like.items()}


def _flat(params: Params) -> dict[str, Any]:
    flat = flax.traverse_util.flatten_dict(params)
    for key in flat:
        if any("/" in part for part in key):
            raise ValueError(f"a parameter's name has a slash: {key}")
    return {"/".join(key): leaf for key, leaf in flat.items()}
