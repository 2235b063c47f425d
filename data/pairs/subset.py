"""A random share of a dataset: what less data does to whatever learns from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from repose_jax.common.errors import UserError
from repose_jax.data.pairs.source import PairSource


def numbered(persons: Sequence[str]) -> Int[np.ndarray, "n"]:
    """Numbers of people from their names, in the order of the names."""
    return np.unique(np.asarray(persons, str), return_inverse=True)[1].astype(np.int32)


def subset(person: Int[np.ndarray, "n"], share: float, seed: int) -> Int[np.ndarray, "m"]:
    """A random share of the pictures, sorted, with at least one of each person."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(person))
    _, first = np.unique(person[order], return_index=True)
    rest = np.delete(order, first)
    wanted = max(len(first), round(share * len(person)))
    return np.sort(np.concatenate([order[first], rest[:wanted - len(first)]]))


def share_of(source: PairSource, share: float, seed: int) -> PairSource:
    """A random share of the pictures, at least one of each person, and the pairs among them.

    Raises:
      UserError: the share is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise UserError("share", f"is {share}", "give a share above 0, at most 1")
    return source if share == 1 else source.only(subset(numbered(source.persons), share, seed))
