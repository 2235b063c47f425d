"""Does the painted person stand in the target pose? And does the source's pose leak through?

Poses are read off the pictures by an estimator; where guidance is measured, by another one than
guided. Distances are in heights of the picture (PCKh's: in heads), over the joints that the target
pose knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.metric import Facts, MetricFamily, Score
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.pose.skeleton import Skeleton


def joint_distances(
    found: Float[np.ndarray, "n joints 3"],
    wanted: Float[np.ndarray, "n joints 3"],
    height: int,
) -> tuple[Float[np.ndarray, "n joints"], Bool[np.ndarray, "n joints"]]:
    """Distance of each joint, and which joints are wanted at all.

    Args:
      found: read off the pictures; visibilities are not used, a joint that was not found counts
        where the estimator would rather have it than anywhere else. NaN where it has none.
      wanted: pixels of the same pictures.
      height: of the pictures, pixels.
    """
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    distance = np.linalg.norm(found[..., :2] - wanted[..., :2], axis=-1) / height
    return distance, wanted[..., 2] > 0


def pose_error(
    found: Float[np.ndarray, "n joints 3"],
    wanted: Float[np.ndarray, "n joints 3"],
    height: int,
) -> Float[np.ndarray, "n"]:
    """Mean distance over the wanted joints of each picture, heights; NaN where none is wanted."""
    distance, known = joint_distances(found, wanted, height)
    count = known.sum(1)
    return np.where(count > 0, (distance * known).sum(1) / np.maximum(count, 1), np.nan)


def pck(
    found: Float[np.ndarray, "n joints 3"],
    wanted: Float[np.ndarray, "n joints 3"],
    height: int,
    threshold: float,
) -> Float[np.ndarray, "n"]:
    """Share of the wanted joints of each picture within `threshold` heights; NaN without any.

    The percentage of correct keypoints (Yang & Ramanan 2013), as a share, normalised by the height
    of the picture, as crops of pedestrians have no other size to go by.
    """
    distance, known = joint_distances(found, wanted, height)
    count = known.sum(1)
    near = ((distance <= threshold) & known).sum(1)
    return np.where(count > 0, near / np.maximum(count, 1), np.nan)


def head_size(
    poses: Float[np.ndarray, "n joints 3"], skeleton: Skeleton
) -> Float[np.ndarray, "n"]:
    """Length of the head's segment in pixels; NaN where it is not known or has no length.

    From neck to head_top where the skeleton has both, the segment of Andriluka et al. 2014. Without
    a head_top (openpose18, coco17), from the nose to the neck or, where there is no neck either, to
    the middle of the shoulders, which is where OpenPose sets the neck. That is another segment, so
    say which with the number.

    Raises:
      ValueError: for a skeleton with neither head_top and neck nor a nose.
    """
    poses = np.asarray(poses, np.float64)
    names = skeleton.joints
    upper = "head_top" if {"head_top", "neck"} <= set(names) else "nose"
    if upper not in names:
        raise ValueError(f"skeleton {skeleton.name} has no segment of the head")
    lower = ("neck",) if "neck" in names else ("right_shoulder", "left_shoulder")
    top = poses[:, skeleton.index(upper)]
    ends = poses[:, [skeleton.index(joint) for joint in lower]]
    length = np.linalg.norm(top[:, :2] - ends[..., :2].mean(1), axis=-1)
    known = (top[:, 2] > 0) & (ends[..., 2] > 0).all(1) & (length > 0)
    return np.where(known, length, np.nan)


def pckh(
    found: Float[np.ndarray, "n joints 3"],
    wanted: Float[np.ndarray, "n joints 3"],
    skeleton: Skeleton,
    threshold: float = 0.5,
) -> Float[np.ndarray, "n"]:
    """Share of the wanted joints of each picture within `threshold` heads (`head_size`).

    PCKh of Andriluka et al. 2014, there at .5. NaN where the head's size or every joint is unknown.
    MPII's own script measures the head by its annotated box instead, and the script of PATN (Zhu et
    al. 2019) holds x and y apart against the width and height of the box of nose, neck, eyes and
    ears: their numbers are not comparable with this one.
    """
    distance, known = joint_distances(found, wanted, 1)
    size = head_size(wanted, skeleton)
    count = np.where(np.isnan(size), 0, known.sum(1))
    near = ((distance <= threshold * size[:, None]) & known).sum(1)
    return np.where(count > 0, near / np.maximum(count, 1), np.nan)


def leaked(
    found: Float[np.ndarray, "n joints 3"],
    target: Float[np.ndarray, "n joints 3"],
    source: Float[np.ndarray, "n joints 3"],
    height: int,
) -> Float[np.ndarray, "n"]:
    """1 where the pose is nearer the source's than the target's, over the joints that both know.

    0 elsewhere; NaN where they share no joint.
    """
    to_target, in_target = joint_distances(found, target, height)
    to_source, in_source = joint_distances(found, source, height)
    both = in_target & in_source
    nearer = (to_source * both).sum(1) < (to_target * both).sum(1)
    return np.where(both.any(1), nearer.astype(np.float64), np.nan)


class ReadPoses(NamedTuple):
    """The poses that are read off a batch's generated pictures.

    Attributes:
      found: as they were read, NaN for a joint that was not found.
      there: the same with 0 in its place.
      seen: which joints were found, [batch, joints, 1].
    """

    found: Float[np.ndarray, "batch joints 3"]
    there: Float[np.ndarray, "batch joints 3"]
    seen: Bool[np.ndarray, "batch joints 1"]


def read_poses(by: Instruments, batch: PictureBatch) -> ReadPoses:
    """What the judge of poses reads, once for all metrics of poses."""
    judge = by.poses
    if judge is None:
        raise ValueError("nothing reads poses")

    def read() -> ReadPoses:
        found = judge.poses(batch.generated)
        seen = np.isfinite(found[..., :1])
        return ReadPoses(found, np.where(seen, found, 0), seen)

    return batch.once("poses", read)


def _scores(by: Instruments) -> Iterator[Score]:
    """A joint that was not found is missed within 5 and 10 %, and is left out of the distances."""
    if by.poses is None:
        return
    height = by.size[0]

    def error(batch: PictureBatch) -> np.ndarray:
        read = read_poses(by, batch)
        return pose_error(read.there, batch.target_pose * read.seen, height)

    def near(batch: PictureBatch, share: float) -> np.ndarray:
        return pck(read_poses(by, batch).found, batch.target_pose, height, share)

    def leaks(batch: PictureBatch) -> np.ndarray:
        read = read_poses(by, batch)
        return leaked(read.there, batch.target_pose * read.seen, batch.source_pose, height)

    yield Score("pose_error", error, beside="neither")
    yield Score("pck_5", lambda batch: near(batch, 0.05), beside="neither")
    yield Score("pck_10", lambda batch: near(batch, 0.10), beside="neither")
    yield Score("leakage", leaks, beside="neither", unmeasured="pairs without a common joint")


METRIC = MetricFamily("pose", {
    "pose_error": Facts("pose error (heights)", "lower", decides=True),
    "pck_5": Facts("joints within 5 %", "higher", 3),
    "pck_10": Facts("joints within 10 %", "higher", 3),
    "leakage": Facts("source pose leaks", "lower", 3, decides=True)}, _scores)
