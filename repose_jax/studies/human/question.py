"""What is asked: pictures and questions, before anything is read or encoded."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Literal

Kind = Literal["real-or-generated", "best", "pair"]
KINDS: tuple[Kind, ...] = ("real-or-generated", "best", "pair")
"""In the order in which a page asks them: the later kinds show real pictures as such."""

REAL, GENERATED = "real", "generated"


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of the study.

    Attributes:
      file: where it is.
      origin: real; generated, by `method`; or scrambled, a real one cut into tiles that no
        attentive person takes for a good picture.
      method: that generated it.
      tiling: tells several scramblings of one file apart.
    """

    file: pathlib.Path
    origin: Literal["real", "generated", "scrambled"] = "real"
    method: str | None = None
    tiling: int = 0


@dataclasses.dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
      kind: real-or-generated: one picture, is it real? best: which option is the best result?
        pair: the same of two methods.
      pair: file names of source and target, as in the list of pairs.
      options: the picture to judge, or those to choose from.
      references: source and real target, shown beside the options; none for real-or-generated.
      check: whether this only tests attention, and is no part of the scores.
    """

    kind: Kind
    pair: tuple[str, str]
    options: tuple[Picture, ...]
    references: tuple[Picture, ...] = ()
    check: bool = False
