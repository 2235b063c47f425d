"""A metric in one file: a module of this folder that defines `METRIC` is found and measured.

The scorer measures it on each picture, whoever painted it; its title, digits and direction are in
tables, pages and CSV files; ablations compare it (docs/contributing.md).
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float

from repose_jax.common.discovery import modules_with
from repose_jax.evaluation.metrics.picture_batch import PictureBatch

Better = Literal["higher", "lower", "neither"]


@dataclasses.dataclass(frozen=True)
class Metric:
    """A score of each picture.

    Attributes:
      name: in JSON and CSV.
      title: for people who read a table.
      better: which way is better; "neither" for what is shown to judge others by.
      of_batch: a value a picture, [batch]; NaN for a picture that cannot be measured.
      digits: behind the point.
    """

    name: str
    title: str
    better: Better
    of_batch: Callable[[PictureBatch], Float[np.ndarray, "batch"]]
    digits: int = 4

    def measure(self, batch: PictureBatch) -> dict[str, Float[np.ndarray, "batch"]]:
        """The values by the metric's name, as `repose_jax.evaluation.metrics.measures` has them."""
        return {self.name: np.asarray(self.of_batch(batch))}


@functools.cache
def found_metrics() -> dict[str, Metric]:
    """Every `METRIC` of the modules of this folder, by its name, in the order of the modules."""
    package = __name__.rpartition(".")[0]
    found = [importlib.import_module(module).METRIC
             for module in modules_with(package, "METRIC").values()]
    return {metric.name: metric for metric in found}
