"""Gives every example another person's condition, to see whether a model uses its own."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from repose_jax.common.errors import UserError
from repose_jax.evaluation.statistics.bootstrap import Persons


def can_derange(persons: Persons) -> bool:
    """Whether `derangement` exists: there are examples, and nobody has more than half of them."""
    _, counts = np.unique(np.asarray(persons), return_counts=True)
    return len(counts) > 0 and 2 * counts.max() <= counts.sum()


def derangement(persons: Persons, seed: int = 0) -> Int[np.ndarray, "n"]:
    """A random permutation that takes each example to one of another person.

    A permutation, so that the wrong conditions are distributed as the right ones. Examples in an
    order that keeps a person's together, turned by the largest person's number of examples, never
    meet their own person as long as nobody has more than half of them.

    Args:
      persons: whose each of the N examples is, text or numbers, [N].
      seed: of the order of people and of each person's examples.

    Returns:
      [N]: example i takes the condition of example result[i].

    Raises:
      UserError: if one person has more than half of the examples: no such permutation exists.
    """
    if not can_derange(persons):
        raise UserError("pairs", "more than half of the examples show one person, so nobody else's "
                        "condition is left for each", "evaluate on pairs of more people")
    _, person, counts = np.unique(np.asarray(persons), return_inverse=True, return_counts=True)
    rng = np.random.default_rng(seed)
    # lexsort: by person in a random order, ties by chance.
    order = np.lexsort((rng.random(len(person)), rng.permutation(len(counts))[person]))
    result = np.empty(len(person), np.int64)
    result[order] = np.roll(order, -counts.max())
    return result
