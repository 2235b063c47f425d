"""Draws the questions of a study from folders of pictures."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.data.image.files import SUFFIXES
from repose_jax.data.image.names import flattened, generated_name
from repose_jax.data.market1501.survey import list_pictures
from repose_jax.data.pairs.list import read_pair_list
from repose_jax.studies.human.question import KINDS, Kind, Picture, Question


class PictureFolder:
    """The pictures of a folder by their stems."""

    def __init__(self, path: str | os.PathLike[str]):
        """Raises UserError where there is no such folder."""
        self.path = pathlib.Path(path)
        if not self.path.is_dir():
            raise UserError(self.path, "is not a folder", "give a folder of pictures")
        self._names: dict[str, list[str]] = {}
        for name in list_pictures(self.path):
            self._names.setdefault(flattened(name), []).append(name)

    def find(self, *stems: str) -> pathlib.Path:
        """The one picture that has one of the stems.

        Raises:
          UserError: there is none, or there are several; names the file.
        """
        found = [name for stem in stems for name in self._names.get(stem, [])]
        if not found:
            raise UserError(self.path / f"{stems[0]}{SUFFIXES[-1]}", "is missing",
                            "add the picture (PNG or JPEG) or drop its pair")
        if len(found) > 1:
            raise UserError(self.path, f"holds both {found[0]} and {found[1]}", "keep one of them")
        return self.path / found[0]


@dataclasses.dataclass(frozen=True)
class Material:
    """Where the pictures of a study are.

    Attributes:
      pairs: source and target names, of different targets.
      methods: folder of each method's results, `<source stem>_2_<target stem>` with or without
        `_vis`, as PIDM and CFLD publish theirs.
      real: folder of the real targets.
      sources: folder of the source pictures.
    """

    pairs: tuple[tuple[str, str], ...]
    methods: Mapping[str, PictureFolder]
    real: PictureFolder
    sources: PictureFolder

    @classmethod
    def open(cls, pairs: str | os.PathLike[str], methods: Mapping[str, str | os.PathLike[str]],
             real: str | os.PathLike[str], sources: str | os.PathLike[str] | None) -> Material:
        """Looks at the folders and reads the pairs, the first of each target.

        Raises:
          UserError: for a folder or a list of pairs that cannot be used.
        """
        first: dict[str, tuple[str, str]] = {}
        for _, source, target in read_pair_list(pairs):
            first.setdefault(flattened(target), (source, target))
        return cls(tuple(first.values()), {n: PictureFolder(p) for n, p in methods.items()},
                   PictureFolder(real), PictureFolder(sources or real))

    def target(self, pair: tuple[str, str]) -> Picture:
        """The real target."""
        return Picture(self.real.find(flattened(pair[1])))

    def references(self, pair: tuple[str, str]) -> tuple[Picture, Picture]:
        """The source and the real target."""
        return Picture(self.sources.find(flattened(pair[0]))), self.target(pair)

    def result(self, pair: tuple[str, str], method: str) -> Picture:
        """A method's result."""
        name = generated_name(*pair)
        return Picture(self.methods[method].find(name, f"{name}_vis"), "generated", method)

    def scrambled(self, pair: tuple[str, str], tiling: int = 0) -> Picture:
        """The real target in tiles."""
        return dataclasses.replace(self.target(pair), origin="scrambled", tiling=tiling)


def draw_questions(material: Material, kinds: Sequence[Kind], count: int, checks: int,
                   seed: int) -> tuple[Question, ...]:
    """Draws the questions; within a kind no target picture comes twice.

    Real-or-generated: every second picture is real, the others are dealt evenly to the methods.
    Pair: the pairs of methods are dealt evenly.

    Args:
      material: the pictures.
      kinds: what to ask.
      count: questions a kind.
      checks: attention checks a kind, beyond `count`.
      seed: of the draw.

    Raises:
      UserError: there are too few pairs or methods, or a picture is missing.
    """
    methods = list(material.methods)
    questions: list[Question] = []
    for kind in (k for k in KINDS if k in kinds):
        if kind != "real-or-generated" and len(methods) < 2:
            raise UserError("images", f"are of one method, the questions of the kind {kind} "
                            "compare several", "give NAME=FOLDER for two or more methods")
        least = {"real-or-generated": 2 * len(methods), "best": 1,
                 "pair": math.comb(len(methods), 2)}[kind]
        if count < least or checks < 0:
            raise UserError("questions", f"are {count} with {checks} checks, too few for "
                            f"{len(methods)} methods and the kind {kind}",
                            f"ask {least} or more, checks 0 or more")
        if count + checks > len(material.pairs):
            raise UserError("pairs", f"have {len(material.pairs)} different targets for "
                            f"{count + checks} questions of the kind {kind}", "ask fewer")
        rng = np.random.default_rng([seed, KINDS.index(kind)])
        chosen = [material.pairs[i] for i in rng.permutation(len(material.pairs))]
        questions += _of_kind(material, kind, methods, chosen[:count])
        questions += [_check(material, kind, len(methods), pair)
                      for pair in chosen[count:count + checks]]
    return tuple(questions)


def _of_kind(material: Material, kind: Kind, methods: list[str],
             pairs: list[tuple[str, str]]) -> list[Question]:
    if kind == "real-or-generated":
        return [Question(kind, pair, (
            material.target(pair) if i % 2 else
            material.result(pair, methods[i // 2 % len(methods)]),))
            for i, pair in enumerate(pairs)]
    sets = [methods] if kind == "best" else list(itertools.combinations(methods, 2))
    return [Question(kind, pair,
                     tuple(material.result(pair, m) for m in sets[i % len(sets)]),
                     material.references(pair)) for i, pair in enumerate(pairs)]


def _check(material: Material, kind: Kind, methods: int, pair: tuple[str, str]) -> Question:
    """The scrambled picture is to be found generated; the real target the best."""
    if kind == "real-or-generated":
        return Question(kind, pair, (material.scrambled(pair),), check=True)
    wrong = methods - 1 if kind == "best" else 1
    return Question(kind, pair,
                    (material.target(pair), *(material.scrambled(pair, i) for i in range(wrong))),
                    material.references(pair), check=True)
