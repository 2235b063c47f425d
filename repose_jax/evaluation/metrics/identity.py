"""Is the person in a generated picture the source's? As a re-identification network sees it.

Where there are real pictures of the people: is the person found among them
(`repose_jax.evaluation.metrics.retrieval`)? Where there is the source alone: how alike are the two?
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float

from repose_jax.evaluation.metrics.instruments import Instruments, Searchable
from repose_jax.evaluation.metrics.metric import Facts, MetricFamily, Score
from repose_jax.evaluation.metrics.picture_batch import PictureBatch, Which
from repose_jax.evaluation.metrics.retrieval import Ranking

REID = "reid"
"""The name under which features of generated pictures are kept."""


def identity_features(
    by: Instruments, which: Which = "generated"
) -> Callable[[PictureBatch], Float[np.ndarray, "batch d"]]:
    """Reads the features of a batch's pictures, once for all metrics that compare them."""
    read = by.identities
    if read is None:
        raise ValueError("nothing reads identities")
    return lambda batch: batch.once((REID, which), lambda: read(getattr(batch, which)))


def _scores(by: Instruments) -> Iterator[Score]:
    unread = "" if by.identities is not None else "no network reads who people are"
    yield Score("identity", lambda batch: cosine(
        identity_features(by, "source")(batch), identity_features(by)(batch)),
        beside="source", absent=unread)
    gallery = by.gallery
    if gallery is None:
        return

    def ranked(batch: PictureBatch) -> Ranking:
        return batch.once("ranking", lambda: _rank(gallery, identity_features(by)(batch), batch))

    yield Score("found_first", lambda batch: ranked(batch).found_within(1),
                unmeasured="pairs of people whom no other camera saw")
    yield Score("found_precision", lambda batch: ranked(batch).precision)


def _rank(gallery: Searchable, features: np.ndarray, batch: PictureBatch) -> Ranking:
    if batch.pairs is None:
        raise ValueError("people of no data are sought in a gallery")
    return gallery.rank(features, batch.pairs)


def cosine(
    a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "n d"]
) -> Float[np.ndarray, "n"]:
    """How alike two pictures' features are, -1 to 1, pair by pair."""
    return (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


METRIC = MetricFamily("identity", {
    "found_first": Facts("person found first", "higher", 3, decides=True),
    "found_precision": Facts("person found, average precision", "higher", 3),
    "identity": Facts("likeness of the person", "higher", 3)}, _scores)
