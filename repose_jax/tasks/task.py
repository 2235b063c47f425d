"""What can be trained: the one interface between a thing to learn and the trainer.

A preset's `CONFIG` is an `Experiment`, a frozen dataclass whose fields are the command line's
options. It makes a `Task`, which `repose_jax.tasks.fit.fit` trains. A new kind of thing to train is
one new file with both; see docs/contributing.md and examples/train_your_own.py.
"""

from __future__ import annotations

import abc
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jaxtyping import Array, Float, Key
from PIL import Image

from repose_jax.training.config import LoopConfig
from repose_jax.training.state import Params
from repose_jax.training.step import Batch, Batches, LossFn, Metrics


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
    """What a task learns from.

    Attributes:
      batches: of the loop's batch size.
      identity: digests by what they are of, such as `PairSource.identity`: a resumed run must learn
        from the same, wherever it lies.
      notes: (subject, sentence) for the user, on what was left out or found.
      held_out: opens batches of whom training leaves out, to measure the loss on; None, it or what it
        gives, where there are none.
    """

    batches: Batches
    identity: Mapping[str, str]
    notes: Sequence[tuple[str, str]] = ()
    held_out: Callable[[], Batches | None] | None = None


class Task(abc.ABC):
    """Something to train. `data` is called before the other methods and may complete `config`.

    Attributes:
      kind: what the model file says it holds.
      config: a frozen dataclass that decides the parameters' shapes; kept in the model file.
      loop: the course of training.
      given: parameters to start from; None for those of `init`.
      frozen: parameters that the loss uses and nothing moves (a first stage, a teacher, the base of
        a LoRA, a guide), a tree of arrays; None for none. An argument of the compiled step.
    """

    kind: str
    config: Any
    loop: LoopConfig
    given: Params | None = None
    frozen: Params | None = None

    @abc.abstractmethod
    def init(self, key: Key[Array, ""]) -> Params:
        """Fresh parameters; it is compiled, so that large ones are born split over devices."""

    @abc.abstractmethod
    def data(self, folder: pathlib.Path) -> Stream:
        """Opens what is learnt from; UserError where it cannot be used.

        What takes long to make may be kept in the run's folder.
        """

    @abc.abstractmethod
    def loss(
        self, params: Params, frozen: Params | None, batch: Batch, keys: Key[Array, "batch"]
    ) -> tuple[Float[Array, ""], Metrics]:
        """The mean loss of a batch and scalars to log; sample i draws only from key i."""

    def validation_loss(
        self, params: Params, frozen: Params | None, batch: Batch, keys: Key[Array, "batch"]
    ) -> tuple[Float[Array, ""], Metrics]:
        """What is measured on `Stream.held_out`; the loss, where nothing else is said."""
        return self.loss(params, frozen, batch, keys)

    def batch_shapes(self) -> dict[str, jax.ShapeDtypeStruct] | None:
        """What a batch of all devices will be, without opening the data; None where that is not
        known. What `repose plan` needs."""
        return None

    def frozen_shapes(self) -> Params | None:
        """Shapes of `frozen`, for a plan, which is made without the model to start from."""
        return jax.eval_shape(lambda: self.frozen)

    def identity(self) -> dict[str, Any]:
        """JSON-able facts that a resumed run must share, beside the data's and the loop's."""
        raise NotImplementedError("a resumed run must be known by something")

    def draw(self, params: Params) -> Image.Image | None:
        """A picture of what the averaged parameters can do; None draws nothing."""
        return None

    def finish(self, params: Params) -> Params:
        """What the model file gets of the averaged parameters, on the host."""
        return params

    def facts(self, images: int) -> dict[str, Any]:
        """JSON-able facts for the model file, on how it came about."""
        return {"images": images}

    def more(self) -> dict[str, Any]:
        """Further JSON-able values for the model file, by name."""
        return {}


def as_loss_fn(
    loss: Callable[[Params, Params | None, Batch, Key[Array, "batch"]], tuple[Array, Metrics]],
) -> LossFn:
    """A task's loss as the train step calls it, what is frozen last."""
    return lambda params, batch, keys, frozen=None: loss(params, frozen, batch, keys)


class Experiment(Protocol):
    """A preset: a frozen dataclass of everything that `repose train` needs to know.

    Attributes:
      train: the course of training.
    """

    train: LoopConfig

    def task(self, init: str | os.PathLike[str] | None = None) -> Task:
        """The task; `init` names the weights to start from, None starts afresh."""


def digest(params: Params) -> str:
    """SHA-256 of parameters: of the bytes of all arrays, in the order of their names."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(jax.device_get(params)):
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()
