"""A person's true proportions, estimated from one flat pose whose limbs may point at the camera.

A limb of length L that leaves the picture's plane by the angle phi is seen with the length

    l = L cos(phi) exp(e),    e ~ N(0, (NOISE / a)^2)                                      (1)

so what is seen is, up to the noise, a lower bound. Bodies are alike: a limb's part of the
stature S varies little from one adult to the next,

    log L_m = log S + log a_m + g + d_m,    g ~ N(0, s_g^2),  d_m ~ N(0, OWN^2)              (2)

with the parts a_m of `SEGMENTS`, and deviations g that the measures of one of the `GROUPS` share:
whose thighs are long has long shins. Left and right limbs have one length. With |sin phi|
half-normal (or, for the breadths, phi uniform: people turn to all sides) the posterior means of
log S and of every log L_m follow from sums over a grid of log lengths. A limb that looks too short
for its body counts for little, because its foreshortening explains it, one that looks too long
counts for more, and one that is not seen takes its part of the stature. The estimate knows no
absolute scale: twice the pose is twice the lengths.

The parts a_m are after Drillis & Contini (1966), as in Winter, Biomechanics and Motor Control of
Human Movement, figure 4.1: upper arm 0.186, forearm 0.146, thigh 0.245, shin 0.246, and the heights
of shoulder 0.818 and hip 0.530. Breadths lie between joint centres: that of the hips is 0.72 of the
distance of the iliac spines (Bell, Pedersen & Brand 1990), that of the shoulders 0.02 of the
stature less on either side than the 0.129 to the acromion. `retarget.py` uses only ratios of two
lengths that were estimated alike, so an error of a_m falls out where both poses show the limb. The
deviations, the noise and the spread of phi are ours, chosen with an eye on rendered people
(docs/poses.md). Where a body lies flat in the picture the estimate is about 4 % too large, as some
foreshortening is always likely; between two bodies in such poses that falls out too.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from repose_jax.pose.skeleton import Skeleton

# Error of the distance of two joints as a part of the stature: annotators and estimators,
# perspective, flesh around joints. It weighs more on a short limb.
NOISE = 0.012
# A joint may be plainly wrong: the part of lengths that (1) does not explain.
_OUTLIERS = 0.02

# Standard deviation of what is a measure's own in (2).
OWN = 0.03

#: The measures of each part of the body, and s_g of (2).
GROUPS: dict[str, tuple[tuple[str, ...], float]] = {
    "trunk": (("trunk",), 0.05), "shoulders": (("shoulders",), 0.09), "hips": (("hips",), 0.11),
    "arms": (("upper arms", "forearms"), 0.06), "legs": (("thighs", "shins"), 0.06),
    "head": (("head",), 0.10)}
MEASURES: tuple[str, ...] = tuple(m for measures, _ in GROUPS.values() for m in measures)


class Segment(NamedTuple):
    """Two points whose distance tells a measure.

    Attributes:
      measure: of `MEASURES`.
      start, end: names of joints, or "pelvis" and "chest" of `body_points`.
      part: expected distance, as a part of the stature.
      tilt: standard deviation of |sin phi|; None where phi is uniform.
    """

    measure: str
    start: str
    end: str
    part: float
    tilt: float | None


def _both_sides(
    measure: str, start: str, end: str, part: float, tilt: float
) -> tuple[Segment, ...]:
    return tuple(Segment(measure, f"{side}_{start}", f"{side}_{end}", part, tilt)
                 for side in ("right", "left"))


SEGMENTS: tuple[Segment, ...] = (
    Segment("trunk", "pelvis", "chest", 0.288, 0.2),
    Segment("shoulders", "right_shoulder", "left_shoulder", 0.218, None),
    Segment("hips", "right_hip", "left_hip", 0.101, None),
    *_both_sides("upper arms", "shoulder", "elbow", 0.186, 0.5),
    *_both_sides("forearms", "elbow", "wrist", 0.146, 0.6),
    *_both_sides("thighs", "hip", "knee", 0.245, 0.4),
    *_both_sides("shins", "knee", "ankle", 0.246, 0.4),
    # Not a bone: the neck nods, so the face's distance is a poor measure and no more than that.
    Segment("head", "neck", "head_top", 0.182, 0.4),
    Segment("head", "neck", "nose", 0.108, 0.6))


class Proportions(NamedTuple):
    """A body's lengths.

    Attributes:
      stature: in the unit of the pose; that of an average body with these limbs, not the person's
        height in the picture.
      lengths: of `MEASURES`, in the unit of the pose, not foreshortened.
      known: whether any segment was seen; where not, the lengths are those of stature 1.
    """

    stature: Float[np.ndarray, "*batch"]
    lengths: Float[np.ndarray, "*batch measures"]
    known: Bool[np.ndarray, "*batch"]


def body_points(
    pose: Float[np.ndarray, "*batch joints 3"], skeleton: Skeleton
) -> dict[str, np.ndarray]:
    """The joints by name, [*batch, 3], and the middles of the trunk's ends.

    "pelvis" is the middle of the hips, "chest" that of the shoulders or, where one is missing, the
    neck; a "neck" that the skeleton lacks or the pose misses is the chest. Missing points are 0.
    """
    pose = np.asarray(pose, np.float64)
    pose = np.where(pose[..., 2:] > 0, pose, 0)
    points = {name: pose[..., i, :] for i, name in enumerate(skeleton.joints)}
    right_shoulder, left_shoulder, right_hip, left_hip = (points[j] for j in skeleton.torso)
    nowhere = np.zeros_like(right_hip)
    neck = points.get("neck", nowhere)
    points["pelvis"] = _or(_middle(right_hip, left_hip), points.get("mid_hip", nowhere))
    points["chest"] = _or(_middle(right_shoulder, left_shoulder), neck)
    points["neck"] = _or(neck, points["chest"])
    return points


def seen_lengths(
    pose: Float[np.ndarray, "*batch joints 3"], skeleton: Skeleton
) -> list[tuple[Segment, Float[np.ndarray, "*batch"]]]:
    """The segments of `SEGMENTS` that a skeleton has, with their lengths in the picture.

    A length is 0 where an end of the segment is missing.
    """
    points, seen = body_points(pose, skeleton), []
    for segment in SEGMENTS:
        if segment.start in points and segment.end in points:
            start, end = points[segment.start], points[segment.end]
            length = np.linalg.norm(end[..., :2] - start[..., :2], axis=-1)
            seen.append((segment, np.where(np.minimum(start[..., 2], end[..., 2]) > 0, length, 0)))
    return seen


def _middle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where(np.minimum(a[..., 2:], b[..., 2:]) > 0, (a + b) / 2, 0)


def _or(point: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.where(point[..., 2:] > 0, point, other)


# Grid of log lengths relative to the longest that was seen; a coarser one than the noise would err.
_GRID = np.arange(-0.9, 1.2, 0.0125)
_TABLE = np.arange(-6.0, 1.5, 0.005)


@functools.cache
def _log_density(tilt: float | None, noise: float) -> np.ndarray:
    """Logarithm of the density of log(l / L) at `_TABLE`, by (1); `noise` is the deviation of e."""
    at = (np.arange(400) + 0.5) / 400
    if tilt is None:
        cosine, weight = np.cos(at * np.pi / 2), np.ones_like(at)
    else:
        cosine, weight = np.sqrt(1 - at**2), np.exp(-0.5 * (at / tilt) ** 2)
    away = (_TABLE[:, None] - np.log(cosine)) / noise
    density = np.exp(-0.5 * away**2) @ (weight / weight.sum()) / (noise * np.sqrt(2 * np.pi))
    return np.log((1 - _OUTLIERS) * density + _OUTLIERS / 4)


@functools.cache
def _spread(deviation: float) -> np.ndarray:
    """Density of a log length at the grid's rows given the grid's columns for its mean."""
    density = np.exp(-0.5 * ((_GRID[:, None] - _GRID[None, :]) / deviation) ** 2)
    return density / density.sum(0, keepdims=True)


def proportions(
    pose: Float[np.ndarray, "*batch joints 3"], skeleton: Skeleton
) -> Proportions:
    """Estimates the proportions of the people of poses, each on its own.

    Args:
      pose: x, y in any unit, the same in both, and a visibility; joints of visibility 0 are not
        looked at, and how visible the others are does not matter.
      skeleton: of the poses.

    Returns:
      Posterior means, taken of the logarithms, under (1) and (2).
    """
    batch = np.shape(pose)[:-2]
    seen = [(segment, length > 0, np.log(np.where(length > 0, length, 1) / segment.part))
            for segment, length in seen_lengths(pose, skeleton)]
    longest = np.full(batch, -np.inf)
    for _, known, stature in seen:
        longest = np.maximum(longest, np.where(known, stature, -np.inf))
    any_known = np.isfinite(longest)
    longest = np.where(any_known, longest, 0)

    likelihood = {measure: np.zeros((*batch, len(_GRID))) for measure in MEASURES}
    for segment, known, stature in seen:
        log = np.interp((stature - longest)[..., None] - _GRID, _TABLE,
                        _log_density(segment.tilt, NOISE / segment.part))
        likelihood[segment.measure] += np.where(known[..., None], log, 0)

    log_posterior, means = np.zeros((*batch, len(_GRID))), []
    for measures, deviation in GROUPS.values():
        weights = [np.exp(likelihood[m] - likelihood[m].max(-1, keepdims=True)) for m in measures]
        evidences = [weight @ _spread(OWN) for weight in weights]
        shared = np.prod(evidences, axis=0)
        evidence = shared @ _spread(deviation)
        log_posterior += np.log(evidence)
        means += [((weight * _GRID) @ _spread(OWN) / own * shared) @ _spread(deviation) / evidence
                  for weight, own in zip(weights, evidences)]
    posterior = np.exp(log_posterior - log_posterior.max(-1, keepdims=True))
    posterior /= posterior.sum(-1, keepdims=True)
    shift = np.where(any_known, longest, -(posterior @ _GRID))
    stature = np.exp(posterior @ _GRID + shift)
    lengths = np.stack([np.exp((posterior * mean).sum(-1) + shift) for mean in means], -1)
    return Proportions(stature, lengths * _parts(), any_known)


@functools.cache
def _parts() -> np.ndarray:
    """Part of the stature of each measure; the head's is that of its first segment."""
    first = {segment.measure: segment.part for segment in reversed(SEGMENTS)}
    return np.array([first[measure] for measure in MEASURES])
