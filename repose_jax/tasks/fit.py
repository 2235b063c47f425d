"""Trains any task into a folder."""

from __future__ import annotations

import functools
import os
import pathlib

import jax

from repose_jax.common.events import Events, silent
from repose_jax.models.weights import BEST_NAME, FILE_NAME, save_weights
from repose_jax.tasks.task import Task, as_loss_fn
from repose_jax.training.distributed import is_first
from repose_jax.training.loop import train
from repose_jax.training.state import Params


def fit(
    task: Task,
    folder: str | os.PathLike[str],
    *,
    events: Events = silent,
) -> pathlib.Path:
    """Trains a task into a folder, resuming what is there, and writes its file.

    Of several processes that have joined, each calls this, and the first tells and writes.

    Args:
      task: what is trained.
      folder: gets checkpoints, log, loss curve, sample pictures and the model file.
      events: see `repose_jax.training.loop.train`; also hears a "note" on the data each.

    Returns:
      The model file: the averaged parameters of the last step, complete or interrupted. Beside it
      lies, where there was a validation, that of the best.

    Raises:
      UserError: data, a model or the folder cannot be used, or the folder holds another run.
    """
    folder = pathlib.Path(folder)
    stream = task.data(folder)
    for subject, text in stream.notes if is_first() else ():
        events.record("note", {subject: text})
    held_out = None
    if task.loop.validate_every_images and stream.held_out is not None:
        held_out = stream.held_out()
    frozen = task.frozen

    def draw(params: Params, images: int):
        return task.draw(params)

    def save(name: str, params: Params, images: int, **facts: float) -> pathlib.Path:
        save_weights(folder / name, task.kind, task.config, task.finish(params),
                     task.facts(images) | facts, **task.more())
        return folder / name

    def save_best(params: Params, images: int, loss: float) -> None:
        save(BEST_NAME, params, images, validation_loss=loss)

    fresh = functools.partial(jax.jit(task.init), jax.random.key(task.loop.seed))
    trained = train(
        task.loop, params=fresh if task.given is None else task.given, loss_fn=as_loss_fn(task.loss),
        batches=stream.batches, folder=folder, frozen=frozen,
        metadata=task.identity() | {"content": dict(stream.identity)},
        held_out=held_out, validation_loss_fn=as_loss_fn(task.validation_loss), best_fn=save_best,
        sample_fn=None if type(task).draw is Task.draw else draw,
        events=events)
    if is_first():
        save(FILE_NAME, trained.average, trained.images)
    return folder / FILE_NAME
