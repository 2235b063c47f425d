"""Checkpoints to resume a run from, and weight files to give away.

A checkpoint holds everything that makes the continued run equal the uninterrupted one: parameters,
average, optimizer, place in the data, images seen, and the configuration it belongs to. A weight
file (safetensors) holds parameters and a few strings, and runs no code when it is read.
"""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import flax
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import safetensors
import safetensors.numpy

from repose_jax.common.errors import UserError
from repose_jax.common.files import write_whole
from repose_jax.training.state import Params, TrainState

_BYTES = "base64"
_METADATA = {"images", "config", "data_state", "extra", "versions", "arrays"}
_FAILED_WRITES = ("No space left on device", "Disk quota exceeded", "File too large",
                  "Read-only file system", "Input/output error", "Permission denied")


class Restored(NamedTuple):
    """What a checkpoint held.

    Attributes:
      state: the state, placed as the one given to `restore_latest`.
      images: images seen.
      data_state: what the data iterator's `get_state` gave.
      extra: what `save` was given.
    """

    state: TrainState
    images: int
    data_state: Any
    extra: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, named by the images seen, written in the background.

    Args:
      folder: where they lie; made if missing.
      config: JSON-able; what a checkpoint must share with a run that resumes from it.
      keep: how many of the newest to keep.

    Raises:
      UserError: the folder cannot be made or written.
    """

    def __init__(self, folder: str | os.PathLike[str], *, config: Mapping[str, Any], keep: int = 3):
        self.folder = pathlib.Path(folder).resolve()
        self._config = json.loads(json.dumps(config))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(self.folder, f"cannot be made ({error.strerror})",
                            "choose a folder that can be written") from error
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise UserError(self.folder, "cannot be written", "choose another folder")
        self._manager = ocp.CheckpointManager(
            self.folder, item_names=("state", "metadata"),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep, enable_async_checkpointing=True, cleanup_tmp_directories=True))

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.close()
        except UserError:
            if kind is None:  # what ended the block says more
                raise

    def save(self, state: TrainState, *, images: int, data_state: Any,
             extra: Mapping[str, Any] | None = None) -> None:
        """Starts to write a checkpoint; `wait` until it is there. One that exists is left."""
        if images in self._manager.all_steps():
            return
        metadata = sealed({
            "images": images, "config": self._config, "data_state": encode_state(data_state),
            "extra": dict(extra or {}), "versions": versions(), "arrays": _arrays(state),
            "sha256": array_hashes(state)})
        # The next step donates these buffers while they are still being written.
        held = jax.tree.map(jnp.copy, state)
        with self._writing():
            self._manager.save(images, args=ocp.args.Composite(
                state=ocp.args.StandardSave(held), metadata=ocp.args.JsonSave(metadata)))

    def latest(self) -> pathlib.Path | None:
        """The newest complete checkpoint, None if there is none."""
        step = self._manager.latest_step()
        return None if step is None else self.folder / str(step)

    def restore_latest(self, like: TrainState) -> Restored | None:
        """The newest complete checkpoint, None if there is none.

        Args:
          like: gives structure, shapes, types and placement.

        Raises:
          UserError: its configuration differs, it cannot be read, or it is damaged: other bytes
            than were written, or numbers that are not finite. Of a damaged one the line names the
            one before it.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        path = self.folder / str(step)
        metadata = self._restore(step, metadata=ocp.args.JsonRestore()).metadata
        if not isinstance(metadata, dict) or _METADATA - set(metadata):
            raise self._damaged(step, "its metadata are missing")
        if metadata.get("seal") != sealed(metadata).get("seal"):
            raise self._damaged(step, "its metadata are not what was written")
        refuse_other_config(path, metadata["config"], self._config)
        _refuse_other_arrays(path, metadata["arrays"], _arrays(like))
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        state = self._restore(step, state=ocp.args.StandardRestore(target)).state
        wrong = _wrong_array(state, metadata.get("sha256"))
        if wrong is not None:
            raise self._damaged(step, wrong)
        return Restored(state, metadata["images"], decode_state(metadata["data_state"]),
                        metadata["extra"])

    def wait(self) -> None:
        """Returns when everything is written; UserError where that fails, as on a full disk."""
        with self._writing():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, then frees the writer's threads; UserError as `wait`."""
        try:
            self.wait()
        finally:
            with self._writing():
                self._manager.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # TensorStore tells the system's errors in words of its own types.
            first = next((words for words in _FAILED_WRITES if words in str(error)), None)
            if first is None and not isinstance(error, OSError):
                raise
            raise UserError(
                self.folder, f"a checkpoint cannot be written ({first or error})",
                "make room and run the same command to resume from the one before it") from None

    def _restore(self, step: int, **items: Any) -> Any:
        try:
            return self._manager.restore(step, args=ocp.args.Composite(**items))
        except Exception as error:  # Orbax raises bare ones
            text = str(error)
            # Nobody shall delete a good checkpoint because this machine cannot take it.
            for words in ("RESOURCE_EXHAUSTED", "Too many open files", "Permission denied"):
                if words in text or words == "RESOURCE_EXHAUSTED" and isinstance(
                        error, MemoryError):
                    raise UserError(self.folder / str(step), f"cannot be read ({words})",
                                    "make memory, files or the right to read it available"
                                    ) from None
            raise self._damaged(step, text) from None

    def _damaged(self, step: int, why: str) -> UserError:
        first = (why.strip() or "unreadable").splitlines()[0][:200]
        before = max((s for s in self._manager.all_steps() if s < step), default=None)
        hint = ("delete it to start afresh, there is none before it" if before is None else
                f"delete it to resume from the one before it, {self.folder / str(before)}")
        return UserError(self.folder / str(step), f"damaged checkpoint ({first})", hint)


def array_hashes(state: Any) -> dict[str, str]:
    """Name -> SHA-256 of each array's bytes, in the order of its elements."""
    def digest(leaf: Any) -> str:
        return hashlib.sha256(np.ascontiguousarray(leaf).reshape(-1).view(np.uint8)).hexdigest()

    named = _named(state)
    # One after the other a large model's would hold the training up; hashing frees the interpreter.
    with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(named, pool.map(digest, named.values()), strict=True))


def sealed(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata with the SHA-256 of all of them; from before there were hashes, as they are."""
    if "sha256" not in metadata:
        return dict(metadata)
    # Through JSON first: what is read back has strings for keys, and lists for tuples.
    rest = json.loads(json.dumps({k: value for k, value in metadata.items() if k != "seal"}))
    text = json.dumps(rest, sort_keys=True)
    return {**rest, "seal": hashlib.sha256(text.encode()).hexdigest()}


def _wrong_array(state: TrainState, sha256: Mapping[str, str] | None) -> str | None:
    """What is wrong with a restored state; None where nothing is."""
    found = {} if sha256 is None else array_hashes(state)
    for name, value in found.items():
        if sha256.get(name) != value:
            return f"{name} is not what was written"
    for name, leaf in _named(state).items():
        if jnp.issubdtype(leaf.dtype, jnp.floating) and not jnp.isfinite(leaf).all():
            return f"{name} has values that are not finite"
    return None


def refuse_other_config(path: os.PathLike[str], saved: Any, given: Any) -> None:
    """Raises UserError naming the first field, in the given order, whose value differs."""
    difference = _first_difference(saved, given, "")
    if difference is not None:
        field, was, now = difference
        raise UserError(
            path, f"belongs to another configuration: {field} was {was}, now {now}",
            f"set {field} back or train in a new folder")


def encode_state(state: Any) -> Any:
    """A data iterator's state as JSON; bytes become base64."""
    if isinstance(state, (bytes, bytearray)):
        return {_BYTES: base64.b64encode(bytes(state)).decode("ascii")}
    if isinstance(state, Mapping):
        return {str(key): encode_state(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return [encode_state(value) for value in state]
    if isinstance(state, (np.generic, np.ndarray)):
        return state.tolist()
    return state


def decode_state(state: Any) -> Any:
    """The inverse of `encode_state` (tuples come back as lists, numpy scalars as numbers)."""
    if isinstance(state, dict):
        if set(state) == {_BYTES}:
            return base64.b64decode(state[_BYTES])
        return {key: decode_state(value) for key, value in state.items()}
    if isinstance(state, list):
        return [decode_state(value) for value in state]
    return state


def versions() -> dict[str, str]:
    """Versions of what a checkpoint's meaning depends on."""
    return {"jax": jax.__version__, "flax": flax.__version__, "orbax": ocp.__version__,
            "numpy": np.__version__}


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
    """Reads parameters from a file.

    Args:
      path: the file.
      like: what the network expects (arrays or `jax.ShapeDtypeStruct`s): names and shapes are
        checked against it and its types are taken. Without it floats come back as float32.

    Returns:
      A nested dict of numpy arrays, and the strings stored with them.

    Raises:
      UserError: missing, unreadable, damaged or not a safetensors file, or not what `like` asks.
    """
    path = pathlib.Path(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except FileNotFoundError as error:
        raise UserError(path, "no such file", "give the path of a .safetensors file") from error
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror or error})",
                        "give a .safetensors file") from error
    except safetensors.SafetensorError as error:
        raise UserError(path, f"damaged or not a safetensors file ({error})",
                        "fetch or export it again") from error
    if like is None:
        tensors = {name: value.astype(np.float32) if value.dtype.kind == "f" else value
                   for name, value in tensors.items()}
    else:
        tensors = _matched(path, tensors, _flat(like))
    return flax.traverse_util.unflatten_dict(tensors, sep="/"), metadata


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


def _arrays(state: TrainState) -> dict[str, list[Any]]:
    """Name -> [type, *shape] of each array."""
    return {name: [str(leaf.dtype), *leaf.shape] for name, leaf in _named(state).items()}


def _named(state: Any) -> dict[str, Any]:
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf
            for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def _refuse_other_arrays(path: pathlib.Path, saved: dict[str, Any], given: dict[str, Any]) -> None:
    for name in [*given, *(name for name in saved if name not in given)]:
        if saved.get(name) != given.get(name):
            raise UserError(
                path, f"does not fit the model: {name} was {saved.get(name, 'not there')}, "
                f"now {given.get(name, 'not there')}", "train in a new folder")


def _first_difference(was: Any, now: Any, field: str) -> tuple[str, Any, Any] | None:
    if isinstance(was, dict) and isinstance(now, dict):
        for key in [*now, *(key for key in was if key not in now)]:
            name = f"{field}.{key}" if field else key
            if key not in was or key not in now:
                return name, was.get(key, "not set"), now.get(key, "not set")
            found = _first_difference(was[key], now[key], name)
            if found is not None:
                return found
        return None
    return None if was == now else (field, was, now)
