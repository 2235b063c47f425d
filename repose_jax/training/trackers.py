"""A run's figures told to other people's programs: one door, a listener to a training.

Each is an extra of the package: `pip install 'repose_jax[tensorboard]'`, `'repose_jax[wandb]'`.
"""

from __future__ import annotations

import abc
import hashlib
import importlib
import numbers
import os
import pathlib
from collections.abc import Mapping
from typing import Any, Literal

from repose_jax.common.errors import UserError
from repose_jax.common.events import Events

Name = Literal["tensorboard", "wandb"]
_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}


class Tracker(Events, abc.ABC):
    """Takes the numbers of each row of the log, and of each validation under "held_out/".

    What it writes to is opened with the first row, so that of several processes, of which one alone
    is told of rows, one alone writes.
    """

    def __init__(self, folder: pathlib.Path, config: Mapping[str, Any], package: Any):
        self._folder, self._config, self._package = folder, config, package
        self._images, self._opened = 0, False

    def record(self, kind: str, facts: Mapping[str, Any]) -> None:
        """See `repose_jax.training.loop.train`."""
        if kind == "resume":
            self._images = facts["images"]
        if kind not in ("log", "validation"):
            return
        if not self._opened:
            self._opened = True
            self.open(self._images)
        prefix = "held_out/" if kind == "validation" else ""
        self.write(facts["images"], {
            prefix + name: float(value) for name, value in facts.items()
            if name != "images" and isinstance(value, numbers.Real)})

    def close(self) -> None:
        """Ends it, if it was opened."""
        if self._opened:
            self.end()

    @abc.abstractmethod
    def open(self, images: int) -> None:
        """Begins, or goes on from so many images."""

    @abc.abstractmethod
    def write(self, images: int, values: Mapping[str, float]) -> None:
        """Takes numbers by their names."""

    @abc.abstractmethod
    def end(self) -> None:
        """Waits until all is written."""


class TensorBoard(Tracker):
    """Event files in the run's folder `tensorboard/`."""

    def open(self, images: int) -> None:
        # What a stopped run wrote beyond its checkpoint is taken back. A file is named by the second in
        # which it was begun, and one of the same name would be overwritten.
        self._writer = self._package.SummaryWriter(
            str(self._folder / "tensorboard"), purge_step=images + 1 if images else None,
            filename_suffix=f".{images}")

    def write(self, images: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, images)

    def end(self) -> None:
        self._writer.close()


class WeightsAndBiases(Tracker):
    """A run at Weights & Biases, or wherever its own variables (WANDB_MODE, WANDB_PROJECT) say.

    The folder's path decides which, so that a resumed run goes on there.
    """

    def open(self, images: int) -> None:
        path = str(self._folder.resolve())
        self._run = self._package.init(
            id=hashlib.sha256(path.encode()).hexdigest()[:16], resume="allow",
            name=self._folder.name, dir=path, config=dict(self._config))

    def write(self, images: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=images)

    def end(self) -> None:
        self._run.finish()


def tracker(name: Name, folder: str | os.PathLike[str], config: Mapping[str, Any]) -> Tracker:
    """The tracker of a name for the run in a folder with a configuration, JSON-able.

    Raises:
      UserError: what it needs is not installed.
    """
    try:
        package = importlib.import_module(_PACKAGES[name])
    except ImportError:
        raise UserError(f"track {name}", f"needs {_PACKAGES[name]}, which is not installed",
                        f"pip install 'repose_jax[{name}]'") from None
    kind = TensorBoard if name == "tensorboard" else WeightsAndBiases
    return kind(pathlib.Path(folder), config, package)
