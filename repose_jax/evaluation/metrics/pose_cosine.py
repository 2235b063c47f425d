"""HumanSD's pose scores: AP by cosine similarity, and the error of the number of people.

HumanSD (Ju et al., ICCV 2023) reports, beside AP by OKS, a "pose cosine similarity-based AP" (CAP)
and a "people count error" (PCE). The scripts of its repository (IDEA-Research/HumanSD,
utils/metrics/pose_metrics.py and coco_similarity.py) print them as "Similarity Average Precision"
and "Human Number Difference": that these are CAP and PCE is our reading of the names. We could see
those scripts but not the paper's own definition, and had no published poses to reproduce its
numbers, so equality with its tables is not attested.

  s(p, q) = (cos(x_p, x_q) + cos(y_p, y_q)) / 2

x and y are the coordinates of the joints that are visible in the true pose q, each scaled to run
from 0 to 1. A pose that is moved or stretched along an axis as a whole is therefore as good as the
true one, unlike by OKS. No coordinate is negative after scaling, so unlike poses are not at 0: 17
joints strewn at random have a similarity of .71 on average, above the first threshold, .5.

The scripts first divide each joint's coordinates by COCO's sigma of that joint. As that is done
before scaling, from the picture's corner, s then does change when a pose is moved.

One line of the script, surely by mistake, puts the detection's x in the place of its y, divided by
the norm of the scaled y. The y of a detection is then never compared, and a perfect one has less
than 1. `as_scripted` repeats that, for numbers to set beside published ones; it is no good measure:

  s'(p, q) = (cos(x_p, x_q) + cos(x_p, y_q) / n) / sqrt(2 (1 + 1 / n^2)),   n = |y_p|

The scripts score in other ways that are not repeated: AP is taken of each batch of pictures and
then averaged, no more than three people of a picture count, their area is that of the joints' box.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from repose_jax.evaluation.metrics.average_precision import (
    AveragePrecision, People, average_precision)
from repose_jax.evaluation.metrics.metric import Facts, MetricFamily
from repose_jax.pose.detections import Detections


def _unit(values: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Scaled to run from 0 to 1, then to norm 1, and the norm; None where all are the same."""
    span = np.ptp(values)
    if not span > 0:
        return None
    scaled = (values - values.min()) / span
    norm = float(np.linalg.norm(scaled))
    return scaled / norm, norm


def pose_cosine(
    found: Float[np.ndarray, "n joints 3"],
    people: People,
    sigmas: Float[np.ndarray, "joints"] | None,
    as_scripted: bool = False,
) -> Float[np.ndarray, "n people"]:
    """Similarity of each found pose to each person, in [0, 1].

    0 where the visible joints of either share an x or a y, which the scripts leave undefined.

    Args:
      found: pixels of the whole picture; visibilities are not used.
      people: only their visible joints are compared.
      sigmas: divide the coordinates, as HumanSD does (`joint_sigmas`); None leaves them as they
        are.
      as_scripted: s' of the module's header in the place of s.
    """
    weight = 1.0 if sigmas is None else 1 / np.asarray(sigmas, np.float64)[:, None]
    result = np.zeros((len(found), len(people.poses)))
    for j, (wanted, visible) in enumerate(zip(np.asarray(people.poses, np.float64),
                                              people.visible)):
        if not visible.any():
            continue
        truth = [_unit(axis) for axis in (wanted[:, :2] * weight)[visible].T]
        for i, pose in enumerate(np.asarray(found, np.float64)):
            guess = [_unit(axis) for axis in (pose[:, :2] * weight)[visible].T]
            axes = [axis for axis in truth + guess if axis is not None]
            if len(axes) < 4:
                continue
            (x_true, _), (y_true, _), (x, _), (y, norm) = axes
            if as_scripted:
                result[i, j] = (x_true @ x + y_true @ x / norm) / np.sqrt(2 * (1 + norm**-2))
            else:
                result[i, j] = (x_true @ x + y_true @ y) / 2
    return result


def pose_cosine_ap(
    people: Sequence[People],
    detections: Sequence[Detections],
    sigmas: Float[np.ndarray, "joints"] | None,
) -> AveragePrecision:
    """COCO's AP with `pose_cosine` in the place of OKS; `ap` is HumanSD's CAP (as a share).

    Args:
      people, detections: one of each a picture.
      sigmas: see `pose_cosine`.
    """
    return average_precision(people, detections, lambda poses, p: pose_cosine(poses, p, sigmas))


def count_errors(
    people: Sequence[People], detections: Sequence[Detections]
) -> Float[np.ndarray, "pictures"]:
    """| people found - people with a visible joint | of each picture.

    Every detection counts, whatever its score: leave out the doubtful ones before, and say how.

    Raises:
      ValueError: if there are not as many pictures of one as of the other, or none.
    """
    if not people or len(people) != len(detections):
        raise ValueError(f"{len(people)} pictures of people, {len(detections)} of detections")
    return np.array([abs(len(d.poses) - int(p.visible.any(1).sum()))
                     for p, d in zip(people, detections)], np.float64)


def people_count_error(people: Sequence[People], detections: Sequence[Detections]) -> float:
    """Mean of `count_errors` over the pictures: HumanSD's PCE; ValueError as there."""
    return float(count_errors(people, detections).mean())


# Measured of pictures with any number of people: `repose_jax.evaluation.evaluators.human_art`.
METRIC = MetricFamily("pose", {
    "cap": Facts("CAP", "higher"), "cap_as_scripted": Facts("CAP, HumanSD's script", "higher"),
    "pce": Facts("PCE", "lower", 3)})
