"""Exact nearest neighbours of poses, by the directions of their bones."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

# Share of a query's visible bones that a reference must show to be compared with it.
MIN_SHARED = 0.75
NEIGHBOURS = 5


class Neighbours(NamedTuple):
    """What was found for each query.

    Attributes:
      distance: mean distance to the nearest references, [queries].
      nearest: number of the nearest reference, [queries].
    """

    distance: Float[np.ndarray, "queries"]
    nearest: Int[np.ndarray, "queries"]


@jax.jit
def pose_distances(
    unit: Float[Array, "q bones 2"],
    visible: Float[Array, "q bones"],
    reference_unit: Float[Array, "n bones 2"],
    reference_visible: Float[Array, "n bones"],
) -> Float[Array, "q n"]:
    """d(q, r) = sum_b v_b v'_b |u_b - u'_b| / sum_b v_b v'_b (docs/method.md, equation 14).

    The mean over bones of the Euclidean distance of their unit vectors, as POST has it, over the
    bones that both show; infinite where they share less than `MIN_SHARED` of what the query shows.
    """
    total, shared = jnp.zeros(()), jnp.zeros(())
    for bone in range(unit.shape[1]):
        both = visible[:, bone, None] * reference_visible[None, :, bone]
        # Differences, not 2 - 2 cos, which cancels where poses are near.
        dx, dy = (unit[:, bone, i, None] - reference_unit[None, :, bone, i] for i in range(2))
        total = total + both * jnp.sqrt(dx * dx + dy * dy)
        shared = shared + both
    shown = visible.sum(1)[:, None]
    enough = (shared >= MIN_SHARED * shown) & (shared > 0)
    return jnp.where(enough, total / jnp.maximum(shared, 1e-6), jnp.inf)


def nearest_poses(
    unit: Float[np.ndarray, "q bones 2"],
    visible: Float[np.ndarray, "q bones"],
    reference_unit: Float[np.ndarray, "n bones 2"],
    reference_visible: Float[np.ndarray, "n bones"],
    *,
    k: int = NEIGHBOURS,
    at_once: int = 128,
) -> Neighbours:
    """Mean distance of each query to its k nearest references, by looking at all of them.

    Args:
      unit, visible: of the queries.
      reference_unit, reference_visible: of the references.
      k: how many of the nearest count.
      at_once: queries compared together.

    Returns:
      Infinite distances where fewer than k references can be compared.
    """
    measure = functools.partial(
        pose_distances, reference_unit=jnp.asarray(reference_unit),
        reference_visible=jnp.asarray(reference_visible))
    size, distances, nearest = min(at_once, len(unit)), [], []
    for start in range(0, len(unit), size):
        part = slice(start, start + size)
        short = size - len(unit[part])  # filled up, so that one size is compiled
        filled = [np.concatenate([a[part], np.zeros((short, *a.shape[1:]), a.dtype)])
                  for a in (unit, visible)]
        table = np.asarray(measure(*filled))[:size - short]
        best = np.argpartition(table, k - 1, axis=1)[:, :k]
        found = np.take_along_axis(table, best, axis=1)
        distances.append(found.mean(1))
        nearest.append(np.take_along_axis(best, found.argmin(1)[:, None], axis=1)[:, 0])
    return Neighbours(np.concatenate(distances), np.concatenate(nearest))
