"""The training loop: batches in, checkpoints, log and pictures out."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.common.events import Events, silent
from repose_jax.common.files import cannot_write, check_writable, clear_leftovers, write_whole
from repose_jax.common.lock import alone
from repose_jax.training.bad_steps import BadStep, BadSteps
from repose_jax.training.checkpoint import Checkpoints
from repose_jax.training.chips import chip_of, counted_once
from repose_jax.training.config import LoopConfig
from repose_jax.training.distributed import all_well, is_first, meet, same_everywhere
from repose_jax.training.log import Meter, TrainingLog, crossed
from repose_jax.training.parallel import DataParallel, data_parallel
from repose_jax.training.prefetch import Prefetched
from repose_jax.training.state import (
    Params, TrainState, create_state, learning_rate, make_optimizer)
from repose_jax.training.step import Batches, LossFn, make_train_step, own_rows
from repose_jax.training.stop_request import StopRequest
from repose_jax.training.validation import Validation

_STAGE = "training"

SampleFn = Callable[[Params, int], "Image.Image | np.ndarray"]
"""(averaged parameters on the host, images seen) -> a picture, uint8 [height, width, 3]."""


BestFn = Callable[[Params, int, float], None]
"""(averaged parameters on the host, images seen, their loss on held-out people), where it is the
lowest so far; called in the first process alone."""


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
    held_out: Batches | None = None,
    validation_loss_fn: LossFn | None = None,
    best_fn: BestFn | None = None,
    sample_fn: SampleFn | None = None,
    events: Events = silent,
) -> Trained:
    """Trains, resuming from the newest checkpoint in `folder` if there is one.

    On a CPU a resumed run equals the uninterrupted one bit for bit. Where several processes have
    joined (`repose_jax.training.distributed`) each calls this alike, in a folder that all of them see.

    Args:
      config: how long, how often.
      params: the initial parameters, left as they are; or a function that makes them, so that a
        large model is born split over the devices.
      loss_fn: see `repose_jax.training.step.LossFn`.
      batches: batches of `config.batch_size`; of several processes each takes its own rows. With a
        method `names(state)` lines on bad steps name the pictures that follow a state.
      folder: gets checkpoints/, samples/, log.jsonl, loss.png, and where they are asked for
        validation.jsonl and bad_steps.jsonl.
      metadata: JSON-able facts on model and data; must be equal when a run is resumed, but for
        "content", digests of what is learnt from, which older runs lack: they go on with a note.
      frozen: parameters that the loss uses and nothing moves; see `LossFn`.
      held_out: batches of whom training leaves out; needed where `config` asks for validation.
      validation_loss_fn: what is measured on them; None = `loss_fn`.
      best_fn: keeps the parameters that did best on them.
      sample_fn: draws a picture.
      events: hears of its progress, and records of the kinds "resume", "note", "log", "validation",
        "checkpoint", "sample" and "end".

    Returns:
      The last state and how many images it has seen.

    Raises:
      UserError: the folder holds another run, is in use by one or cannot be written, the batch size
        does not fit the devices, the data end, the processes were not given the same, there is
        nobody held out to validate on, or a bad step ends the run (see `LoopConfig.bad_steps`; the
        newest checkpoint is then still good).
    """
    started = time.monotonic()
    folder = pathlib.Path(folder)
    optimizer = make_optimizer(config.schedule(), config.batch_size)
    devices = data_parallel(
        functools.partial(make_train_step, loss_fn, optimizer, ema_decay=config.ema_decay,
                          accumulate=config.accumulate), config.parallel)
    devices.check_batch_size(config.batch_size, config.accumulate)
    key = jax.random.key(config.seed)
    identity = {**metadata, **config.identity()}
    meet()
    same_everywhere(folder, hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).digest())
    batches = own_rows(batches, config.batch_size, devices.rows(config.batch_size))
    validation = None
    if config.validate_every_images:
        if held_out is None:
            raise UserError("train.validate_every_images", "has nobody to measure on",
                            "hold people out with --data.hold-out, or leave it out")
        validation = Validation(
            held_out, config.validation_batches, config.batch_size, validation_loss_fn or loss_fn,
            devices, key, folder, is_first())

    with (
        _alone(folder),
        Checkpoints(folder / "checkpoints", config=identity, keep=config.keep) as checkpoints,
        StopRequest() as stop,
    ):
        if callable(params):
            state = devices.init(lambda: create_state(params(), optimizer))
        else:
            # On the host first: arrays bound to one device could not join a mesh of several.
            state = devices.init(lambda tree: create_state(tree, optimizer), devices.get(params))
        if frozen is not None:
            frozen = devices.put(devices.get(frozen))
        run = _Run(config, devices, state, batches, checkpoints, folder, started, validation, key,
                   frozen, sample_fn, best_fn, events)
        run.finish(run.until_end(stop))
        return Trained(run.state, devices.get(run.state.ema), run.images)


class _Run:
    """A training under way: what changes, and what is done with it every so often."""

    def __init__(
        self, config: LoopConfig, devices: DataParallel, state: TrainState, batches: Batches,
        checkpoints: Checkpoints, folder: pathlib.Path, started: float,
        validation: Validation | None, key: Any, frozen: Params | None,
        sample_fn: SampleFn | None, best_fn: BestFn | None,
        events: Events,
    ):
        self.config, self.devices, self.state = config, devices, state
        self.checkpoints, self.folder, self.validation = checkpoints, folder, validation
        self.key, self.frozen, self.sample_fn, self.best_fn = key, frozen, sample_fn, best_fn
        self.first = is_first()
        self.events = events if self.first else silent
        self._like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=leaf.sharding), state)
        self._started, self._wall_before, self.images = started, 0.0, 0
        self._compiled = False
        self.bad_steps = BadSteps(config, folder, getattr(batches, "names", None), self.first)
        self._resume(batches)
        self._resumed_at = self.images
        self.log = TrainingLog(folder)
        if self.first:
            self.log.cut(self.images)
            self.bad_steps.cut(self.images)
        ahead = config.prefetch
        if ahead is None:
            ahead = 0 if devices.mesh.devices.flat[0].platform == "cpu" else 2
        self.batches = Prefetched(
            batches, devices.put_batch, ahead=ahead, rows=config.batch_size // devices.processes,
            batch_size=config.batch_size, images=self.images, total_images=config.total_images)
        self._shown: dict[str, str] = {}
        self.events.progress(_STAGE, self.images, config.total_images)
        self.meter = Meter(started, config.batch_size, config.log_every_images, self._step_done,
                           self._step_bad, self._row_done)

    def until_end(self, stop: StopRequest) -> str:
        """Steps until there is a reason to end, which it returns."""
        config, reason = self.config, "complete"
        while self.images < config.total_images:
            late = config.max_minutes is not None and self.wall_s() >= 60 * config.max_minutes
            if stop.wanted(self.images // config.batch_size, late and self.first):
                reason = "out of time" if late else "interrupted"
                break
            with self._bad_steps_told():
                self.step()
        with self._bad_steps_told():
            self.meter.settle()
        self.meter.flush()
        return reason

    def finish(self, reason: str) -> None:
        """Leaves what a run leaves at its end."""
        if not self._resumed or self.images > self._resumed_at:
            if reason == "complete" and self.validation is not None:
                self.validate()
            self.save()
            # Of several processes only the first has looked at the clock.
            if reason == "complete" or (reason == "out of time" and self.devices.processes == 1):
                self.sample()
        self.checkpoints.wait()
        self.events.record("end", {"images": self.images, "reason": reason})

    def step(self) -> None:
        """One step, and what is due after it."""
        config = self.config
        with self.meter.waiting():
            place, batch = self.batches.next()
        ends_at = self.images + config.batch_size
        self.bad_steps.drawn(ends_at, place)
        limit = self.bad_steps.limit(ends_at)
        self.state, metrics = self.devices.step(self.state, batch, self.key, self.frozen, limit)
        self.images = ends_at
        with self.meter.waiting():
            self.batches.fill()
        self.meter.push(self.images, metrics)
        if not self._compiled:
            self._compiled = True
            self.meter.full_speed = self._full_speed(batch, limit)
        if self.images < config.total_images:
            with self.meter.paused():
                if crossed(self.images, config.validate_every_images, config.batch_size):
                    self.validate()
                if crossed(self.images, config.checkpoint_every_images, config.batch_size):
                    self.save()
                if crossed(self.images, config.sample_every_images, config.batch_size):
                    self.sample()

    def save(self) -> None:
        """A checkpoint and the loss curve."""
        self.meter.settle()
        extra = {"wall_s": self.wall_s(), "loop": dataclasses.asdict(self.config),
                 "recent_losses": self.bad_steps.get_state(),
                 "best_validation": self.validation and self.validation.best}
        self.checkpoints.save(
            self.devices.shared(self.state), images=self.images,
            data_state=self.batches.get_state(), extra=extra)
        self.bad_steps.saved()
        if self.first:
            self.log.plot(self.validation.rows if self.validation else ())
        self.events.record("checkpoint", {"images": self.images})

    def sample(self) -> None:
        """A sample picture."""
        if self.sample_fn is not None:
            average = self.devices.get(self.state.ema)
            if self.first:
                _write_picture(self.folder / "samples" / f"{self.images:08d}.png",
                               self.sample_fn(average, self.images))
            self.events.record("sample", {"images": self.images})

    def validate(self) -> None:
        """The loss on held-out people; keeps the model where it is the best."""
        assert self.validation is not None  # it is asked for
        self.meter.settle()
        row, better = self.validation.measure(self.state.ema, self.frozen, self.images)
        if better and self.best_fn is not None:
            average = self.devices.get(self.state.ema)
            if self.first:
                self.best_fn(average, self.images, row["loss"])
        self._shown["held out"] = f"{row['loss']:.4g}"
        self.events.record("validation", {**row, "best": better})

    def wall_s(self) -> float:
        """Seconds of the run, resumed ones together."""
        return round(self._wall_before + time.monotonic() - self._started, 3)

    def _resume(self, batches: Batches) -> None:
        restored = self.checkpoints.restore_latest(self.state)
        self._resumed = restored is not None
        if restored is not None:
            self.state, self.images = restored.state, restored.images
            self._wall_before = restored.extra["wall_s"]
            batches.set_state(restored.data_state)
            self.bad_steps.set_state(restored.extra.get("recent_losses", ()))
            self.events.record("resume", {"images": self.images})
            if restored.unknown:
                self.events.record("note", {
                    "data": "the run was begun by a version that did not record what it "
                    "learnt from; that these are the same data cannot be told"})
        if self.validation is not None:
            self.validation.resume(
                self.images, restored and restored.extra.get("best_validation"))

    @contextlib.contextmanager
    def _bad_steps_told(self) -> Iterator[None]:
        """Where a bad step is not skipped: goes back to the newest checkpoint, or ends the run."""
        try:
            yield
            return
        except BadStep as error:
            bad = error
        self.checkpoints.wait()
        good = self.checkpoints.latest()
        if self.config.bad_steps == "back" and good is not None:
            self.meter.drop()
            restored = self.checkpoints.restore_latest(self._like)
            assert restored is not None  # `latest` is one
            self.state = restored.state
            self.events.record("note", {"training": f"{bad.why}; goes on from {good}"})
            return
        raise UserError(
            self.folder, f"{bad.why}; the last good checkpoint is "
            f"{good or 'none, as none was due yet'}",
            "lower the learning rate or lengthen the warm-up and train in a new folder, or go on "
            "with --train.bad-steps skip or back")

    def _full_speed(self, batch: Any, limit: Any) -> float | None:
        """Images/s at the peak of the devices, where that is known."""
        chip = chip_of(self.devices.mesh.devices.flat[0].device_kind)
        if chip is None:
            return None
        flops = self.devices.step_operations(self.state, batch, self.key, self.frozen, limit)
        if flops is None:
            return None
        return self.config.batch_size * chip.flops / counted_once(flops, self.config.accumulate)

    def _step_done(self, images: int, loss: float) -> None:
        self.bad_steps.good(images, loss)
        self.events.progress(_STAGE, images, self.config.total_images, loss=f"{loss:.4g}",
                             **self._shown)

    def _step_bad(self, images: int, loss: float) -> None:
        self.events.progress(_STAGE, images, self.config.total_images, **self._shown)
        why = self.bad_steps.bad(images, loss)
        self.events.record("note", {"training": f"{why}; skipped"})

    def _row_done(self, facts: dict[str, Any]) -> None:
        config = self.config
        row = {**facts, "learning_rate": float(learning_rate(
            config.schedule(), config.batch_size, facts["step"] - 1)), "wall_s": self.wall_s()}
        if "mfu" in facts:
            self._shown["mfu"] = f"{facts['mfu']:.1%}"
        if self.first:
            self.log.append(row)
        self.events.record("log", row)


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


def _write_picture(path: pathlib.Path, picture: Image.Image | np.ndarray) -> None:
    if not isinstance(picture, Image.Image):
        picture = Image.fromarray(np.asarray(picture))
    write_whole(path, lambda file: picture.save(file, format="PNG"))
