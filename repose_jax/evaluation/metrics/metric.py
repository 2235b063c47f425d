"""A metric in one file: a module of this folder that defines `METRIC` is found and measured.

`METRIC` is a `Metric`, one score of each picture, or a `MetricFamily`: scores that depend on a
protocol or a network, or that compare whole sets. The scorer, ablations and the acceptance check
loop over what they give; titles, digits and directions reach tables, pages and CSV files through
`facts` (docs/contributing.md).
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float

from repose_jax.common.discovery import modules_with
from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.statistics.statistic import Mean, Statistic

Better = Literal["higher", "lower", "neither"]
Beside = Literal["target", "source", "neither"]
Kept = Float[np.ndarray, "batch *channels"] | Float[jax.Array, "batch *channels"]
GROUPS = ("pixels", "person", "pose", "perception", "identity", "colour", "set")
"""What metrics are about, in the order in which they are shown."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """How a score is shown.

    Attributes:
      title: for people who read a table.
      better: which way is better; "neither" for what is shown to judge others by.
      digits: behind the point.
      decides: whether it is among the few that are shown first.
    """

    title: str
    better: Better
    digits: int = 4
    decides: bool = False


@dataclasses.dataclass(frozen=True)
class Score:
    """One number of a set of pictures: something of each picture, and what becomes of it.

    Attributes:
      name: in JSON and CSV.
      of_batch: a value a picture, [batch], or what is only compared over the whole set, such as
        colours, [batch, channels]; NaN for a picture that cannot be measured.
      statistic: from all of it to the number.
      kept: scores that keep the same of each picture give it one name; "" is their own.
      beside: what the generated picture is compared with: the real "target"; where there is none,
        the "source"; "neither" is measured in both cases.
      unmeasured: whose values are NaN, for the sentence that counts them.
      absent: why it cannot be measured here, as a sentence's end; then `of_batch` is not called.
      of_gallery: compares with the gallery, which says nothing of the gallery's own pictures.
    """

    name: str
    of_batch: Callable[[PictureBatch], Kept]
    statistic: Statistic = Mean()
    kept: str = ""
    beside: Beside = "target"
    unmeasured: str = ""
    absent: str = ""
    of_gallery: bool = False

    @property
    def key(self) -> str:
        """The name of what is kept."""
        return self.kept or self.name


@dataclasses.dataclass(frozen=True)
class Metric:
    """A score of each picture.

    Attributes:
      name: in JSON and CSV.
      title: for people who read a table.
      better: which way is better; "neither" for what is shown to judge others by.
      of_batch: a value a picture, [batch]; NaN for a picture that cannot be measured.
      digits: behind the point.
      beside: see `Score`; "neither" is measured where there is no real target, too.
      group: one of `GROUPS`.
    """

    name: str
    title: str
    better: Better
    of_batch: Callable[[PictureBatch], Float[np.ndarray, "batch"] | Float[jax.Array, "batch"]]
    digits: int = 4
    beside: Beside = "target"
    group: str = "pixels"

    def measure(self, batch: PictureBatch) -> dict[str, Float[np.ndarray, "batch"]]:
        """The values by the metric's name."""
        return {self.name: np.asarray(self.of_batch(batch))}

    @property
    def facts(self) -> Mapping[str, Facts]:
        """How it is shown, by its name."""
        return {self.name: Facts(self.title, self.better, self.digits)}

    def scores(self, by: Instruments) -> Iterable[Score]:
        """It, whatever it is measured with."""
        return [Score(self.name, self.of_batch, beside=self.beside)]


@dataclasses.dataclass(frozen=True)
class MetricFamily:
    """Scores that come about alike.

    Attributes:
      group: one of `GROUPS`.
      facts: how each is shown, by its name; a key that ends in * is of all names that begin so,
        and the rest of the name is added to the title.
      scores: those that can be measured with some instruments; none where it is somebody else who
        measures them.
    """

    group: str
    facts: Mapping[str, Facts]
    scores: Callable[[Instruments], Iterable[Score]] = lambda by: ()


@functools.cache
def found_metrics() -> dict[str, Metric | MetricFamily]:
    """Every `METRIC` of the modules of this folder, by the module's name, in the order of groups."""
    package = __name__.rpartition(".")[0]
    found = {name: importlib.import_module(module).METRIC
             for name, module in modules_with(package, "METRIC").items()}
    return dict(sorted(found.items(), key=lambda item: GROUPS.index(item[1].group)))


def scores(by: Instruments, beside: Literal["target", "source"] = "target") -> list[Score]:
    """Every score that can be measured with some instruments.

    Args:
      by: the instruments.
      beside: what the pictures are compared with: the real "target", or the "source" where there
        is no such picture.
    """
    return [score for metric in found_metrics().values() for score in metric.scores(by)
            if score.beside in (beside, "neither")]


def facts(name: str) -> Facts:
    """The facts of a score; a name that is not known is shown as it is, better neither way."""
    known = {key: value for metric in found_metrics().values()
             for key, value in metric.facts.items()}
    if name in known:
        return known[name]
    for key in sorted((key for key in known if key.endswith("*")), key=len, reverse=True):
        if name.startswith(key[:-1]):
            rest = name[len(key) - 1:].replace("_", " ").strip("- ")
            return dataclasses.replace(
                known[key], title=f"{known[key].title} {rest}".strip(" ,:"))
    return Facts(name.replace("_", " "), "neither")
