"""Checkpoints to resume a run from.

A checkpoint holds everything that makes the continued run equal the uninterrupted one: parameters,
average, optimizer, place in the data, images seen, and the configuration it belongs to.
"""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import gc
import hashlib
import json
import logging
import os
import pathlib
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from repose_jax.common.errors import UserError
from repose_jax.training.distributed import tells_of_a_lost_process
from repose_jax.training.parallel import whole
from repose_jax.training.state import TrainState

_BYTES = "base64"
_CONTENT = "content"  # in a configuration: digests of what is learnt from
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
      unknown: whether it lacks the digests of what was learnt from, as older ones do.
    """

    state: TrainState
    images: int
    data_state: Any
    extra: dict[str, Any]
    unknown: bool = False


class _Manager(ocp.CheckpointManager):
    """Orbax's, which stays out of the processes' agreement on the step to end after.

    JAX agrees on the number last asked about, and one more. The loop asks about steps; were Orbax to
    ask about images, too, a request that came while a checkpoint was written would end the run at
    the step of that number, many times as late, or never.
    """

    def reached_preemption(self, step: int) -> bool:
        return False


class Checkpoints:
    """The checkpoints of one run, named by the images seen, written in the background.

    Args:
      folder: where they lie; made if missing.
      config: JSON-able; what a checkpoint must share with a run that resumes from it.
      keep: how many of the newest to keep.

    Raises:
      UserError: the folder cannot be made or written, or a checkpoint in it does not tell when it
        was written.
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
        # Orbax logs hundreds of lines on what it raises besides, and then is told in one.
        logging.getLogger("absl").addFilter(_is_not_orbax)
        try:
            self._manager = _Manager(
                self.folder, item_names=("state", "metadata"),
                options=ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True,
                                                     enable_async_checkpointing=True))
        except Exception:  # of what Orbax reads of each checkpoint; json's and its own are bare
            damaged = _undated(self.folder)
            if damaged is None:
                raise
            raise _damaged(self.folder, *damaged) from None

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
        saved, given = metadata["config"], self._config
        unknown = _CONTENT in given and _CONTENT not in saved
        if unknown:
            given = {name: value for name, value in given.items() if name != _CONTENT}
        refuse_other_config(path, saved, given)
        _refuse_other_arrays(path, metadata["arrays"], _arrays(like))
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        state = self._restore(step, state=ocp.args.StandardRestore(target)).state
        wrong = _wrong_array(state, metadata.get("sha256"))
        if wrong is not None:
            raise self._damaged(step, wrong)
        return Restored(state, metadata["images"], decode_state(metadata["data_state"]),
                        metadata["extra"], unknown)

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
        with _dropped_reads_unheard():
            try:
                return self._manager.restore(step, args=ocp.args.Composite(**items))
            except Exception as error:  # Orbax raises bare ones
                if tells_of_a_lost_process(error):
                    raise  # the checkpoint is as good as it was
                text, memory = str(error), isinstance(error, MemoryError)
            gc.collect()
        # Nobody shall delete a good checkpoint because this machine cannot take it.
        for words in ("RESOURCE_EXHAUSTED", "Too many open files", "Permission denied"):
            if words in text or words == "RESOURCE_EXHAUSTED" and memory:
                raise UserError(self.folder / str(step), f"cannot be read ({words})",
                                "make memory, files or the right to read it available")
        raise self._damaged(step, text)

    def _damaged(self, step: int, why: str) -> UserError:
        return _damaged(self.folder, self._manager.all_steps(), step, why)


def _damaged(folder: pathlib.Path, steps: Collection[int], step: int, why: str) -> UserError:
    """What to tell of a checkpoint, one of `steps`, that cannot be used."""
    first = (why.strip() or "unreadable").splitlines()[0][:200]
    before, newest = max((s for s in steps if s < step), default=None), max(steps)
    if step < newest:
        hint = f"delete it to resume from the newest, {folder / str(newest)}"
    elif before is None:
        hint = "delete it to start afresh, there is none before it"
    else:
        hint = f"delete it to resume from the one before it, {folder / str(before)}"
    return UserError(folder / str(step), f"damaged checkpoint ({first})", hint)


def _undated(folder: pathlib.Path) -> tuple[list[int], int, str] | None:
    """(all checkpoints, the newest whose time cannot be read, why); None where all can be."""
    steps = sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())
    for step in reversed(steps):
        try:
            _ = ocp.path.step.standard_name_format().find_step(folder, step).commit_timestamp
        except Exception as error:
            return steps, step, str(error)
    return None


@contextlib.contextmanager
def _dropped_reads_unheard() -> Iterator[None]:
    """Where one read fails Orbax drops the others, and Python would tell of each in up to 60 lines:
    of those that wait, and of those that end when nobody waits any more."""
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        code = getattr(unraisable.object, "cr_code", None)
        dropped = code is not None and f"{os.sep}orbax{os.sep}" in code.co_filename
        late = unraisable.object is None and str(unraisable.exc_value) == "Event loop is closed"
        if not (dropped or late):
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _is_not_orbax(record: logging.LogRecord) -> bool:
    return f"{os.sep}orbax{os.sep}" not in record.pathname


def array_hashes(state: Any) -> dict[str, str]:
    """Name -> SHA-256 of each array's bytes, in the order of its elements."""
    def digest(leaf: Any) -> str:
        return hashlib.sha256(np.ascontiguousarray(leaf).reshape(-1).view(np.uint8).data).hexdigest()

    named = _named(state)
    if jax.process_count() > 1:  # gathering is the work of all, in one order
        return {name: digest(whole(leaf)) for name, leaf in named.items()}
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
    if sha256 is not None:
        for name, value in array_hashes(state).items():
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
        if field.startswith(f"{_CONTENT}."):
            what = field.partition(".")[2]
            raise UserError(path, f"learnt from other {what} than these",
                            f"give the {what} that the run began with, or train in a new folder")
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
