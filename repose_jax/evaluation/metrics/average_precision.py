"""COCO's average precision and recall of people, for any similarity of poses (Lin et al. 2014).

In each picture detections, best score first, take the most similar person that is still free, if
the similarity reaches a threshold. Over all pictures, ordered by score, that gives a curve of
precision against recall; AP is the mean of its monotone hull at recalls 0, .01, ..., 1, AR the
highest recall, both averaged over the thresholds .5, .55, ..., .95. As in pycocotools with
iouType="keypoints": at most 20 detections a picture, people without a visible joint are neither
found nor missed, nor, for the scores of a range of areas, are people and free detections outside
of it. Crowds are not supported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from repose_jax.pose.detections import Detections

THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_MOST = 20
_ALL, _MEDIUM, _LARGE = (0.0, 1e10), (32.0**2, 96.0**2), (96.0**2, 1e10)
_AT_75 = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class People:
    """The people who are in a picture.

    Attributes:
      poses: [n, joints, 3], pixels and visibility.
      areas: [n], of each person's outline, pixels^2 (COCO's "area"). Where there is only a box,
        say so with the number: published numbers use .53 times its area, or all of it.
      boxes: [n, 4], left, top, width, height; needed only for people without a visible joint.
    """

    poses: Float[np.ndarray, "n joints 3"]
    areas: Float[np.ndarray, "n"]
    boxes: Float[np.ndarray, "n 4"] | None = None

    def __post_init__(self):
        boxes = len(self.poses) if self.boxes is None else len(self.boxes)
        if not len(self.poses) == len(self.areas) == boxes:
            raise ValueError(f"{len(self.poses)} poses, {len(self.areas)} areas and {boxes} boxes "
                             "do not belong together")
        if self.boxes is None and not self.visible.any(1).all():
            raise ValueError("a person without a visible joint needs a box")

    @property
    def visible(self) -> np.ndarray:
        """Which joints are known, [n, joints]."""
        return np.asarray(self.poses)[..., 2] > 0


class AveragePrecision(NamedTuple):
    """COCO's ten numbers, in its order, in [0, 1]; NaN where no person counts.

    Attributes:
      ap, ap50, ap75: average precision over all thresholds, and at .5 and .75.
      ap_medium, ap_large: of people of 32^2 to 96^2 pixels, and of larger ones.
      ar, ar50, ar75, ar_medium, ar_large: the same of the recall.
    """

    ap: float
    ap50: float
    ap75: float
    ap_medium: float
    ap_large: float
    ar: float
    ar50: float
    ar75: float
    ar_medium: float
    ar_large: float


class _Picture(NamedTuple):
    """Similarities [detections, people], with the detections in the order of their scores."""

    similarity: np.ndarray
    scores: np.ndarray
    detected_areas: np.ndarray
    areas: np.ndarray
    known: np.ndarray


def _prepare(people: People, found: Detections, similarity: Callable) -> _Picture:
    order = np.argsort(-np.asarray(found.scores, np.float64), kind="stable")[:_MOST]
    poses = np.asarray(found.poses, np.float64)[order]
    # COCO measures a detection by the box of its joints.
    areas = np.ptp(poses[..., :2], axis=1).prod(-1) if len(poses) else np.zeros(0)
    matrix = (similarity(poses, people) if len(poses) and len(people.poses)
              else np.zeros((len(poses), len(people.poses))))
    return _Picture(matrix, np.asarray(found.scores, np.float64)[order], areas,
                    np.asarray(people.areas, np.float64), np.any(people.visible, axis=1))


def _outside(areas: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (areas < limits[0]) | (areas > limits[1])


def _match(picture: _Picture, ignored: np.ndarray, threshold: float) -> np.ndarray:
    """Which person each detection takes, -1 for none."""
    free, taken = np.ones(len(ignored), bool), np.full(len(picture.scores), -1)
    threshold = min(threshold, 1 - 1e-10)
    for number, row in enumerate(picture.similarity):
        near = free & (row >= threshold)
        # People who do not count are taken only where no other is near.
        near = near & ~ignored if (near & ~ignored).any() else near
        if near.any():
            # The last of equally similar people, as pycocotools.
            best = len(row) - 1 - int(np.argmax(np.where(near, row, -np.inf)[::-1]))
            taken[number], free[best] = best, False
    return taken


def _curve(hit: np.ndarray, counted: np.ndarray, people: int) -> tuple[np.ndarray, float]:
    """Precision at each of the recalls, and the highest recall.

    Detections come best score first; `hit` and `counted` say how often each counts.
    """
    true = np.cumsum(hit)
    false = np.cumsum(counted - hit)
    if len(hit) == 0:
        return np.zeros(len(_RECALLS)), 0.0
    recall, precision = true / people, true / np.maximum(true + false, 1)
    hull = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, _RECALLS, side="left")
    return np.where(at < len(hull), hull[np.minimum(at, len(hull) - 1)], 0.0), float(recall[-1])


class _Range(NamedTuple):
    """Who was found in a range of areas, detections in the order of their scores.

    Attributes:
      people: [pictures], how many count.
      hit, counted: [thresholds, detections], who is a person and who is that or a false alarm.
    """

    people: np.ndarray
    hit: np.ndarray
    counted: np.ndarray

    def scores(self, weights: np.ndarray, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """AP and AR at each threshold, with a weight for each picture."""
        people = int(weights @ self.people)
        if people == 0:
            return np.full(len(THRESHOLDS), np.nan), np.full(len(THRESHOLDS), np.nan)
        often = weights[picture]
        curves = [_curve(hit * often, counted * often, people)
                  for hit, counted in zip(self.hit, self.counted)]
        return np.array([curve.mean() for curve, _ in curves]), np.array([r for _, r in curves])


def _in_range(pictures: list[_Picture], limits: tuple[float, float], order: np.ndarray) -> _Range:
    ignored = [~p.known | _outside(p.areas, limits) for p in pictures]
    hits, counts = [], []
    for threshold in THRESHOLDS:
        hit, counted = [np.zeros(0, bool)], [np.zeros(0, bool)]
        for picture, ignore in zip(pictures, ignored):
            taken = _match(picture, ignore, threshold)
            skipped = _outside(picture.detected_areas, limits)
            if len(ignore):
                skipped = np.where(taken >= 0, ignore[taken], skipped)
            hit.append((taken >= 0) & ~skipped)
            counted.append(~skipped)
        hits.append(np.concatenate(hit)[order])
        counts.append(np.concatenate(counted)[order])
    return _Range(np.array([(~i).sum() for i in ignored], np.int64), np.array(hits),
                  np.array(counts))


class Matches:
    """Who was found in a set of pictures: all that AP needs, however often a picture counts."""

    def __init__(self, people: Sequence[People], detections: Sequence[Detections],
                 similarity: Callable[[np.ndarray, People], np.ndarray]):
        """Matches detections to people; the arguments are those of `average_precision`."""
        if len(people) != len(detections):
            raise ValueError(f"{len(people)} pictures of people, {len(detections)} of detections")
        pictures = [_prepare(p, d, similarity) for p, d in zip(people, detections)]
        scores = np.concatenate([np.zeros(0), *(p.scores for p in pictures)])
        order = np.argsort(-scores, kind="stable")
        found = np.array([len(p.scores) for p in pictures], np.int64)
        self._picture = np.repeat(np.arange(len(pictures)), found)[order]
        self._ranges = [_in_range(pictures, limits, order) for limits in (_ALL, _MEDIUM, _LARGE)]

    def scores(self, counts: Int[np.ndarray, "pictures"] | None = None) -> AveragePrecision:
        """AP and AR; `counts` is how often each picture is in the set, None once each."""
        weights = np.ones(len(self._ranges[0].people), np.int64) if counts is None else counts
        (ap, ar), (ap_medium, ar_medium), (ap_large, ar_large) = (
            part.scores(weights, self._picture) for part in self._ranges)
        return AveragePrecision(*map(float, (
            ap.mean(), ap[0], ap[_AT_75], ap_medium.mean(), ap_large.mean(),
            ar.mean(), ar[0], ar[_AT_75], ar_medium.mean(), ar_large.mean())))


def average_precision(
    people: Sequence[People],
    detections: Sequence[Detections],
    similarity: Callable[[np.ndarray, People], np.ndarray],
) -> AveragePrecision:
    """AP and AR over a set of pictures.

    Args:
      people, detections: one of each a picture, in the same order.
      similarity: of poses [n, joints, 3] to people, [n, people]; 1 for the same pose.

    Raises:
      ValueError: if there are not as many of one as of the other.
    """
    return Matches(people, detections, similarity).scores()
