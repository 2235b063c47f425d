"""The training loop: batches in, checkpoints, log and pictures out."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image
from tqdm import tqdm

from repose_jax.common.errors import UserError
from repose_jax.common.files import cannot_write, check_writable, clear_leftovers, write_whole
from repose_jax.common.lock import alone
from repose_jax.training.checkpoint import Checkpoints
from repose_jax.training.config import LoopConfig
from repose_jax.training.distributed import (
    all_well, is_first, same_everywhere, stop_agreed, stop_all)
from repose_jax.training.log import Meter, NonFiniteLoss, TrainingLog, crossed
from repose_jax.training.parallel import data_parallel
from repose_jax.training.state import (
    Params, TrainState, create_state, learning_rate, make_optimizer)
from repose_jax.training.step import Batches, LossFn, make_train_step, own_rows


SampleFn = Callable[[Params, int], "Image.Image | np.ndarray"]
"""(averaged parameters on the host, images seen) -> a picture, uint8 [height, width, 3]."""


class Trained(NamedTuple):
    """The end of a training.

    Attributes:
      state: the last, on the devices.
      average: its averaged parameters on the host, as numpy arrays.
      images: that it has seen in all, whether the training is complete or was interrupted.
    """

    state: TrainState
    average: Params
    images: int


def train(
    config: LoopConfig,
    *,
    params: Params | Callable[[], Params],
    loss_fn: LossFn,
    batches: Batches,
    folder: str | pathlib.Path,
    metadata: Mapping[str, Any],
    frozen: Params | None = None,
    sample_fn: SampleFn | None = None,
    on_event: Callable[[str, dict[str, Any]], None] | None = None,
    progress: bool = True,
) -> Trained:
    """Trains, resuming from the newest checkpoint in `folder` if there is one.

    On a CPU a resumed run equals the uninterrupted one bit for bit. Where several processes have
    joined (`repose_jax.training.distributed`) each calls this alike, in a folder that all of them see.

    Args:
      config: how long, how often.
      params: the initial parameters, left as they are; or a function that makes them, so that a
        large model is born split over the devices.
      loss_fn: see `repose_jax.training.step.LossFn`.
      batches: batches of `config.batch_size`; of several processes each takes its own rows.
      folder: gets checkpoints/, samples/, log.jsonl, loss.png.
      metadata: JSON-able facts on model and data; must be equal when a run is resumed, but for
        "content", digests of what is learnt from, which older runs lack: they go on with a note.
      frozen: parameters that the loss uses and nothing moves; see `LossFn`.
      sample_fn: draws a picture.
      on_event: is told ("resume" | "note" | "log" | "checkpoint" | "sample" | "end", facts).
      progress: show a progress bar.

    Returns:
      The last state and how many images it has seen.

    Raises:
      UserError: the folder holds another run, is in use by one or cannot be written, the batch size
        does not fit the devices, the data end, the processes were not given the same, or the loss
        or the parameters stop being finite (the newest checkpoint is then still good).
    """
    started = time.monotonic()
    first = is_first()
    tell = on_event if on_event and first else (lambda name, facts: None)
    folder = pathlib.Path(folder)
    optimizer = make_optimizer(config.schedule(), config.batch_size)
    devices = data_parallel(
        functools.partial(make_train_step, loss_fn, optimizer, ema_decay=config.ema_decay,
                          accumulate=config.accumulate), config.parallel)
    devices.check_batch_size(config.batch_size, config.accumulate)
    key = jax.random.key(config.seed)
    identity = {**metadata, **config.identity()}
    same_everywhere(folder, hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).digest())
    batches = own_rows(batches, config.batch_size, devices.rows(config.batch_size))

    with (
        _alone(folder),
        Checkpoints(folder / "checkpoints", config=identity, keep=config.keep) as checkpoints,
        _StopRequest() as stop,
    ):
        if callable(params):
            state = devices.init(lambda: create_state(params(), optimizer))
        else:
            # On the host first: arrays bound to one device could not join a mesh of several.
            state = devices.init(lambda tree: create_state(tree, optimizer), devices.get(params))
        if frozen is not None:
            frozen = devices.put(devices.get(frozen))
        images, wall_before = 0, 0.0
        restored = checkpoints.restore_latest(state)
        if restored is not None:
            state, images = restored.state, restored.images
            wall_before = restored.extra["wall_s"]
            batches.set_state(restored.data_state)
            tell("resume", {"images": images})
            if restored.unknown:
                tell("note", {"data": "the run was begun by a version that did not record what it "
                              "learnt from; that these are the same data cannot be told"})
        log = TrainingLog(folder)
        if first:
            log.cut(images)
        bar = tqdm(total=config.total_images, initial=images, unit="image", unit_scale=True,
                   disable=not (progress and first), dynamic_ncols=True)

        def step_done(loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
            bar.update(config.batch_size)

        def row_done(facts: dict[str, Any]) -> None:
            row = {**facts, "learning_rate": float(learning_rate(
                config.schedule(), config.batch_size, facts["step"] - 1)), "wall_s": wall_s()}
            if first:
                log.append(row)
            tell("log", row)

        def wall_s() -> float:
            return round(wall_before + time.monotonic() - started, 3)

        def save() -> None:
            meter.settle()
            checkpoints.save(devices.shared(state), images=images, data_state=batches.get_state(),
                             extra={"wall_s": wall_s(), "loop": dataclasses.asdict(config)})
            if first:
                log.plot()
            tell("checkpoint", {"images": images})

        def sample() -> None:
            if sample_fn is not None:
                average = devices.get(state.ema)
                if first:
                    _write_picture(folder / "samples" / f"{images:08d}.png",
                                   sample_fn(average, images))
                tell("sample", {"images": images})

        meter = Meter(started, config.batch_size, config.log_every_images, step_done, row_done)
        reason = "complete"
        try:
            while images < config.total_images:
                late = config.max_minutes is not None and wall_s() >= 60 * config.max_minutes
                if stop.wanted(images // config.batch_size, late and first):
                    reason = "out of time" if late else "interrupted"
                    break
                with meter.waiting():
                    batch: Any = _next(  # on its way to the devices
                        batches, config.batch_size // devices.processes, images)
                state, metrics = devices.step(state, batch, key, frozen)
                images += config.batch_size
                meter.push(images, metrics)
                if images < config.total_images:
                    with meter.paused():
                        if crossed(images, config.checkpoint_every_images, config.batch_size):
                            save()
                        if crossed(images, config.sample_every_images, config.batch_size):
                            sample()
            meter.settle()
            meter.flush()
        except NonFiniteLoss as error:
            checkpoints.wait()
            good = checkpoints.latest()
            raise UserError(
                folder, f"non-finite loss at image {error.images}; the last good checkpoint is "
                f"{good or 'none, as none was due yet'}",
                "lower the learning rate or lengthen the warm-up and train in a new folder"
            ) from None
        finally:
            bar.close()
        if restored is None or images > restored.images:
            save()
            # Of several processes only the first has looked at the clock.
            if reason == "complete" or (reason == "out of time" and devices.processes == 1):
                sample()
        checkpoints.wait()
        tell("end", {"images": images, "reason": reason})
        return Trained(state, devices.get(state.ema), images)


@contextlib.contextmanager
def _alone(folder: pathlib.Path) -> Iterator[None]:
    """Keeps a second run out of a folder, in which the two would mix, and clears what kills left.

    One lock a run: of several processes the first has it, and the others wait for that.
    """
    with contextlib.ExitStack() as stack:
        failed = None
        if is_first():
            try:
                check_writable(folder)
                stack.enter_context(alone(folder))
                clear_leftovers(folder / "samples")
            except OSError as error:
                failed = cannot_write(folder, error)
            except UserError as error:
                failed = error
        all_well(folder, failed)
        yield


class _StopRequest:
    """Turns the first Ctrl-C or SIGTERM into a wish to end after this step; the second one acts.

    Several processes have to end after the same step, or some would wait for ever: JAX takes SIGTERM,
    given to any of them, and finds the step.
    """

    def __init__(self):
        self.requested = False
        self._several = jax.process_count() > 1
        self._old: dict[int, Any] = {}

    def wanted(self, step: int, late: bool) -> bool:
        """Whether to end before a step; `late` asks for it."""
        if not self._several:
            return self.requested or late
        if late and not self.requested:
            self.requested = True
            stop_all()
        return stop_agreed(step)

    def __enter__(self) -> _StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT,) if self._several else (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _request(self, number: int, frame: object) -> None:
        self.requested = True
        self._restore()
        if self._several:
            stop_all()

    def _restore(self) -> None:
        for number, handler in self._old.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._old = {}


def _next(batches: Batches, batch_size: int, images: int) -> Mapping[str, np.ndarray]:
    try:
        batch = next(batches)
    except StopIteration:
        raise UserError("data", f"end after {images} images", "repeat them without end") from None
    size = jax.tree.leaves(batch)[0].shape[0]
    if size != batch_size:
        raise UserError("data", f"give a batch of {size} where {batch_size} is asked for",
                        "make the two batch sizes equal")
    return batch


def _write_picture(path: pathlib.Path, picture: Image.Image | np.ndarray) -> None:
    if not isinstance(picture, Image.Image):
        picture = Image.fromarray(np.asarray(picture))
    write_whole(path, lambda file: picture.save(file, format="PNG"))
