"""Steps whose loss is not finite, or far above those before: what is told of them."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.training.config import LoopConfig
from repose_jax.training.log import TrainingLog

FILE_NAME = "bad_steps.jsonl"
_WINDOW, _LEAST, _SHOWN, _PATIENCE = 100, 20, 4, 10


class BadStep(Exception):
    """A step that was not applied ended at `images`, for `why`."""

    def __init__(self, images: int, why: str):
        super().__init__(images, why)
        self.images, self.why = images, why


class BadSteps:
    """The policy of a run, `LoopConfig.bad_steps`, and its record.

    The bound of a step comes from the losses up to the step before the last: those are known on the
    host without waiting for the devices, and the same whether or not a run was stopped in between.

    Args:
      config: batch size and policy.
      folder: of the run; gets `bad_steps.jsonl` once there is one.
      names: which pictures made the batch that followed a state of the data; None where the data
        cannot tell.
      write: whether this process writes the record.
    """

    def __init__(self, config: LoopConfig, folder: pathlib.Path,
                 names: Callable[[Any], Sequence[str]] | None, write: bool):
        self._config, self._folder, self._names = config, folder, names
        self._log = TrainingLog(folder, FILE_NAME) if write else None
        self._recent: list[tuple[int, float]] = []
        self._places: dict[int, Any] = {}
        self._count = 0

    def drawn(self, images: int, place: Any) -> None:
        """Notes the state of the data before the batch of the step that ends at `images`."""
        self._places[images] = place

    def limit(self, images: int) -> np.float32 | None:
        """The highest loss with which the step that ends at `images` is applied; None without."""
        if not self._config.spike:
            return None
        known = [loss for at, loss in self._recent if at <= images - 2 * self._config.batch_size]
        if len(known) < _LEAST:
            return np.float32(math.inf)
        return np.float32(self._config.spike * float(np.median(known[-_WINDOW:])))

    def good(self, images: int, loss: float) -> None:
        """Notes the loss of an applied step."""
        self._places.pop(images, None)
        if self._config.spike:
            # Two more than the window: `limit` leaves the newest out.
            self._recent = [*self._recent, (images, loss)][-_WINDOW - 2:]

    def bad(self, images: int, loss: float) -> str:
        """Records a step that was not applied.

        Returns:
          What is to be told, without the policy.

        Raises:
          BadStep: it is not to be skipped.
        """
        limit = self.limit(images)
        spike = limit is not None and math.isfinite(loss) and loss > limit
        kind = f"loss spike ({loss:.4g}, limit {limit:.4g})" if spike else "non-finite loss"
        place = self._places.pop(images, None)
        names = list(self._names(place)) if self._names and place is not None else []
        self._count += 1
        if self._log is not None:
            self._log.append({"images": images, "loss": str(loss), "what": kind,
                              "policy": self._config.bad_steps, "pictures": names})
        why = f"{kind} at image {images}" + self._shown(names)
        if self._count > _PATIENCE:
            raise UserError(self._folder, f"{why}; the {self._count}th bad step since a checkpoint",
                            "lower the learning rate or lengthen the warm-up")
        if self._config.bad_steps != "skip":
            raise BadStep(images, why)
        return why

    def saved(self) -> None:
        """Notes that a checkpoint was written."""
        self._count = 0

    def cut(self, images: int) -> None:
        """Drops what is recorded past `images`."""
        if self._log is not None and (self._folder / FILE_NAME).exists():
            self._log.cut(images)

    def get_state(self) -> list[tuple[int, float]]:
        """What a checkpoint keeps, so that a resumed run has the same limits."""
        return self._recent

    def set_state(self, state: Sequence[Sequence[float]]) -> None:
        """Goes on from what `get_state` gave."""
        self._recent = [(int(images), float(loss)) for images, loss in state]

    @staticmethod
    def _shown(names: Sequence[str]) -> str:
        if not names:
            return ""
        more = f" and {len(names) - _SHOWN} more, see {FILE_NAME}" if len(names) > _SHOWN else ""
        return f", pictures {', '.join(names[:_SHOWN])}{more}"
