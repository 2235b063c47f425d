"""Carries poses from one skeleton to another."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from repose_jax.pose.skeleton import Skeleton


def convert(pose: Float[np.ndarray, "*batch joints 3"], from_skeleton: Skeleton,
            to_skeleton: Skeleton) -> tuple[Float[np.ndarray, "*batch joints2 3"], list[str]]:
    """Carries poses to another skeleton by the names of the joints.

    The neck is the middle of the shoulders where the source has none; joints such as head_top,
    which nothing tells, are missing.

    Returns:
      The poses and the joints of `to_skeleton` that could not be filled for lack of a source.
    """
    pose = np.asarray(pose, np.float32)
    out = np.zeros((*pose.shape[:-2], len(to_skeleton), 3), np.float32)
    lost = []
    for number, joint in enumerate(to_skeleton.joints):
        if joint in from_skeleton.joints:
            out[..., number, :] = pose[..., from_skeleton.index(joint), :]
        elif joint == "neck":
            right, left = (pose[..., from_skeleton.index(j), :] for j in from_skeleton.torso[:2])
            seen = np.minimum(right[..., 2:], left[..., 2:])
            out[..., number, :2] = np.where(seen > 0, (right + left)[..., :2] / 2, 0)
            out[..., number, 2:] = seen
        else:
            lost.append(joint)
    return out, lost
