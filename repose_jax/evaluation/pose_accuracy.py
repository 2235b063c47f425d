"""Does the painted person stand in the target pose? And does the source's pose leak through?

Poses are read off the pictures by an estimator; where guidance is measured, by another one than
guided. Distances are in heights of the picture, over the joints that the target pose knows.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def joint_distances(
    found: Float[np.ndarray, "n joints 3"],
    wanted: Float[np.ndarray, "n joints 3"],
    height: int,
) -> tuple[Float[np.ndarray, "n joints"], Bool[np.ndarray, "n joints"]]:
    """Distance of each joint, and which joints are wanted at all.

    Args:
      found: read off the pictures; visibilities are not used, a joint that was not found counts
        where the estimator would rather have it than anywhere else.
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
