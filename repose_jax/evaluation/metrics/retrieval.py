"""Is a person found again among the others? Rank-k and mean average precision of retrieval.

Market-1501's protocol (Zheng et al. 2015): for each query the gallery is ordered by similarity;
pictures of the query's person by the query's own camera are junk and count neither as found nor as
missed. Rank-k is the share of queries with a right picture among the first k. The average precision
is the mean of the precision at each right picture, as torchreid, fastreid and scikit-learn have it
(Market's first MATLAB code joined the points by trapezoids, which gives slightly other numbers).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

_AT_ONCE = 256


@dataclasses.dataclass(frozen=True, eq=False)
class Ranking:
    """How each query fared.

    Attributes:
      first: rank of the first right picture, from 1; 0 for a query without any in the gallery.
      precision: average precision; NaN for a query without any right picture.
    """

    first: Int[np.ndarray, "queries"]
    precision: Float[np.ndarray, "queries"]

    @property
    def valid(self) -> Bool[np.ndarray, "queries"]:
        """Queries that could succeed."""
        return self.first > 0

    def found_within(self, k: int) -> Float[np.ndarray, "queries"]:
        """1 where a right picture is among the first k, else 0; NaN for an invalid query."""
        return np.where(self.valid, (self.first <= k).astype(np.float64), np.nan)


def rank(
    query: Float[np.ndarray, "queries d"],
    gallery: Float[np.ndarray, "pictures d"],
    query_person: Int[np.ndarray, "queries"],
    gallery_person: Int[np.ndarray, "pictures"],
    junk: Callable[[np.ndarray], Bool[np.ndarray, "some pictures"]],
) -> Ranking:
    """Ranks the gallery by cosine for each query.

    Args:
      query, gallery: features; they are normalised here.
      query_person, gallery_person: numbers of people.
      junk: from numbers of queries [some] to which pictures count neither way.
    """
    query, gallery = _unit(query), _unit(gallery)
    first, precision = [], []
    for some in _parts(len(query)):
        order = np.argsort(-(query[some] @ gallery.T), axis=1, kind="stable")
        right = gallery_person[order] == query_person[some, None]
        kept = ~np.take_along_axis(junk(some), order, axis=1)
        # Ranks among what is not junk; junk has the rank of what precedes it, and is not right.
        ranks, right = np.cumsum(kept, axis=1), right & kept
        count = right.sum(1)
        precisions = np.cumsum(right, axis=1) / np.maximum(ranks, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision.append(np.where(count > 0, (precisions * right).sum(1) / count, np.nan))
        where = right.argmax(1)
        first.append(np.where(count > 0, ranks[np.arange(len(some)), where], 0))
    return Ranking(np.concatenate(first), np.concatenate(precision))


def one_query_a_camera(
    person: Int[np.ndarray, "pictures"], camera: Int[np.ndarray, "pictures"], seed: int
) -> Int[np.ndarray, "queries"]:
    """A random picture of each person by each camera: how Market-1501's queries were chosen."""
    order = np.random.default_rng(seed).permutation(len(person))
    pairs = np.stack([person, camera], axis=1)[order]
    _, first = np.unique(pairs, axis=0, return_index=True)
    return np.sort(order[first])


def same_camera_junk(
    query: Int[np.ndarray, "queries"],
    person: Int[np.ndarray, "pictures"],
    camera: Int[np.ndarray, "pictures"],
) -> Callable[[np.ndarray], Bool[np.ndarray, "some pictures"]]:
    """The standard junk for queries that are pictures of the gallery: person and camera alike."""

    def junk(some: np.ndarray) -> np.ndarray:
        mine = query[some]
        return ((person[mine][:, None] == person[None, :])
                & (camera[mine][:, None] == camera[None, :]))

    return junk


def pair_junk(
    source: Int[np.ndarray, "queries"],
    target: Int[np.ndarray, "queries"],
    person: Int[np.ndarray, "pictures"],
    camera: Int[np.ndarray, "pictures"],
) -> Callable[[np.ndarray], Bool[np.ndarray, "some pictures"]]:
    """Junk for queries that were painted from one picture of the gallery in the pose of another.

    All pictures of the person by the source's or the target's camera: otherwise a copy of the source
    would be found by the source and its neighbours on the film, and the real target by its own.
    Where no other camera saw the person, the query is invalid.
    """

    def junk(some: np.ndarray) -> np.ndarray:
        same = person[source[some]][:, None] == person[None, :]
        seen = np.zeros_like(same)
        for chosen in (source[some], target[some]):
            seen |= camera[chosen][:, None] == camera[None, :]
        return same & seen

    return junk


def _unit(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float32)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _parts(count: int) -> Iterator[np.ndarray]:
    for start in range(0, count, _AT_ONCE):
        yield np.arange(start, min(start + _AT_ONCE, count))
