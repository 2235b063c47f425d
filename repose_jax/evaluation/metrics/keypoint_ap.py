"""Object keypoint similarity, and COCO's average precision with it (Lin et al. 2014).

  OKS = mean over the person's visible joints of exp(-d^2 / (2 area (2 sigma)^2))

d is the distance in pixels and sigma, which depends on the joint, how far apart people who annotate
COCO set it, in square roots of the person's area.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from repose_jax.evaluation.metrics.average_precision import (
    AveragePrecision, People, average_precision)
from repose_jax.evaluation.metrics.metric import Facts, MetricFamily
from repose_jax.pose.detections import Detections
from repose_jax.pose.skeleton import Skeleton

# As COCO publishes them; a left and its right joint share one.
_COCO_SIGMAS = {
    "nose": 0.026, "eye": 0.025, "ear": 0.035, "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062,
    "hip": 0.107, "knee": 0.087, "ankle": 0.089}


def joint_sigmas(
    skeleton: Skeleton, others: Mapping[str, float] | None = None
) -> Float[np.ndarray, "joints"]:
    """COCO's sigma of each joint, by its name.

    Args:
      skeleton: COCO17, or any other.
      others: sigmas of joints that COCO has none for (neck, head_top); they go before COCO's. What
        is chosen here moves the number, so report it.

    Raises:
      ValueError: naming the joints that have no sigma, or `others` that the skeleton lacks.
    """
    others = dict(others or {})
    strange = sorted(set(others) - set(skeleton.joints))
    if strange:
        raise ValueError(f"skeleton {skeleton.name} has no joints {strange}")
    known = {joint: _COCO_SIGMAS.get(joint.removeprefix("left_").removeprefix("right_"))
             for joint in skeleton.joints} | others
    without = [joint for joint, sigma in known.items() if sigma is None]
    if without:
        raise ValueError(f"COCO has no sigma for {', '.join(without)}: give them as `others`")
    return np.array([known[joint] for joint in skeleton.joints])


def oks(
    found: Float[np.ndarray, "n joints 3"],
    people: People,
    sigmas: Float[np.ndarray, "joints"],
) -> Float[np.ndarray, "n people"]:
    """Similarity of each found pose to each person, in [0, 1].

    Args:
      found: visibilities are not used.
      people: only their visible joints are compared; for a person without any, how far each joint
        lies outside of the box of twice the size counts, as in pycocotools.
      sigmas: see `joint_sigmas`.
    """
    found, wanted = np.asarray(found, np.float64), np.asarray(people.poses, np.float64)
    apart = found[:, None, :, :2] - wanted[None, :, :, :2]
    counts = people.visible
    if people.boxes is not None:
        corner, size = np.split(np.asarray(people.boxes, np.float64), 2, axis=1)
        low, high = (corner - size)[None, :, None], (corner + 2 * size)[None, :, None]
        place = found[:, None, :, :2]
        beyond = np.maximum(low - place, 0) + np.maximum(place - high, 0)
        nobody = ~np.any(counts, axis=1)
        apart = np.where(nobody[None, :, None, None], beyond, apart)
        counts = counts | nobody[:, None]
    scale = 2 * (np.asarray(people.areas, np.float64)[:, None] + np.spacing(1.0)) * (
        2 * np.asarray(sigmas, np.float64)) ** 2
    each = np.exp(-np.square(apart).sum(-1) / scale)
    return (each * counts).sum(-1) / counts.sum(-1)


def keypoint_ap(
    people: Sequence[People],
    detections: Sequence[Detections],
    sigmas: Float[np.ndarray, "joints"],
) -> AveragePrecision:
    """COCO's keypoint scores over a set of pictures, equal to pycocotools'.

    Args:
      people, detections: one of each a picture.
      sigmas: see `joint_sigmas`.
    """
    return average_precision(people, detections, lambda poses, p: oks(poses, p, sigmas))


# Measured of pictures with any number of people: `repose_jax.evaluation.evaluators.human_art`.
METRIC = MetricFamily("pose", {
    "ap": Facts("AP", "higher"), "ap_medium": Facts("AP, medium people", "higher"),
    "ar": Facts("AR", "higher")})
