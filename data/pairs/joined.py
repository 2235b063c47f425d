"""Two sources of pairs as one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int32, UInt8

from repose_jax.common.errors import UserError
from repose_jax.data.pairs.source import PairSource, TrueFlow


class JoinedPairs(PairSource):
    """The pictures of two sources, one after the other; a person of one is nobody of the other.

    The true flow is known if one source knows it: between pictures of the other nothing is seen.
    """

    def __init__(self, first: PairSource, second: PairSource, pairs: Int32[np.ndarray, "p 2"]):
        """Takes the sources and pairs of their pictures, numbered on through both."""
        super().__init__(
            skeleton=first.skeleton, size=first.size, names=first.names + second.names,
            persons=[f"{number} {person}" for number, part in enumerate((first, second))
                     for person in part.persons],
            poses=None, read=self.image, pairs=pairs, cache=False,
            notes=tuple(dict.fromkeys(first.notes + second.notes)),
            read_mask=self.mask if first.has_masks or second.has_masks else None,
            read_flow=self.flow if first.has_flow or second.has_flow else None)
        self.parts = first, second

    def _of(self, ask: Callable[..., Any], *pictures: int) -> Any:
        """What the source of some pictures says of them."""
        first, second = self.parts
        before = len(first)
        if pictures[0] < before:
            return ask(first, *pictures)
        return ask(second, *(picture - before for picture in pictures))

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        return self._of(lambda part, i: part.image(i), int(index))

    def pose(self, index: int) -> Float[np.ndarray, "joints 3"]:
        return self._of(lambda part, i: part.pose(i), int(index))

    def mask(self, index: int) -> Bool[np.ndarray, "height width"] | None:
        return self._of(lambda part, i: part.mask(i), int(index))

    @functools.cached_property
    def poses(self) -> Float[np.ndarray, "n joints 3"]:
        return np.concatenate([part.poses for part in self.parts])

    def flow(self, source: int, target: int) -> TrueFlow:
        def known(part, i, j):
            if part.has_flow:
                return part.flow(i, j)
            nothing = np.zeros(self.size, bool)
            return TrueFlow(np.zeros((*self.size, 2), np.float32), nothing, nothing)

        return self._of(known, int(source), int(target))

    @property
    def identity(self) -> dict[str, str]:
        return {f"{number}_{key}": value for number, part in enumerate(self.parts)
                for key, value in part.identity.items()}


def joined(first: PairSource, second: PairSource, share: float, seed: int) -> PairSource:
    """All pairs of a source and as many of another as make a share of the whole.

    Where the other has fewer they come again, all of them equally often but for one time; where it
    has more they are drawn by the seed.

    Args:
      first, second: of one skeleton and size.
      share: of the second one's pairs, above 0 and below 1.
      seed: of which come once more than the others.

    Raises:
      UserError: their poses or sizes are not of one kind, or one of them has no pair.
    """
    if first.skeleton.name != second.skeleton.name or first.size != second.size:
        kinds = [f"{part.skeleton.name} at {part.size[0]}x{part.size[1]}" for part in (second, first)]
        raise UserError("data.also", f"has {kinds[0]}, data.path {kinds[1]}",
                        "give data of one skeleton and size")
    for name, part in (("data.path", first), ("data.also", second)):
        if not len(part.pairs):
            raise UserError(name, "holds no pair of two pictures of one person",
                            "give more pictures of each, named PERSON_anything")
    wanted = max(1, round(len(first.pairs) * share / (1 - share)))
    rounds = -(-wanted // len(second.pairs))
    rng = np.random.default_rng(seed)
    chosen = np.concatenate([rng.permutation(len(second.pairs)) for _ in range(rounds)])[:wanted]
    return JoinedPairs(first, second, np.concatenate(
        [np.asarray(first.pairs), np.asarray(second.pairs[chosen]) + len(first)]).astype(np.int32))
