"""A figure's joints in the skeletons' orders, and which of them a picture shows."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from repose_jax.pose.skeleton import SKELETONS

#: Every joint that some skeleton names.
JOINTS: tuple[str, ...] = tuple(dict.fromkeys(
    joint for skeleton in SKELETONS.values() for joint in skeleton.joints))
_ORDER = {name: np.array([JOINTS.index(joint) for joint in skeleton.joints])
          for name, skeleton in SKELETONS.items()}

# How deep under the surface a joint may lie, in metres: flesh and clothes around it, also where the
# limb points at the camera. The trunk clothes the joints of both sides: these figures decide which
# of them it hides in profile.
_DEPTH = {"shoulder": 0.15, "elbow": 0.18, "wrist": 0.16, "hip": 0.22, "knee": 0.25,
          "ankle": 0.20, "neck": 0.17, "nose": 0.035, "eye": 0.03, "ear": 0.03, "top": 0.15}
_ALLOWED = np.array([_DEPTH[joint.split("_")[-1]] for joint in JOINTS])


def visible_joints(clothed: tuple[tuple[str, ...], ...], joints: Float[np.ndarray, "joints 3"],
                   depth: Float[np.ndarray, "height width"], ids: np.ndarray,
                   scale: float) -> Bool[np.ndarray, "joints"]:
    """Says which of `JOINTS` the picture shows.

    A joint shows where it is inside the frame and the nearest surface there is of its own flesh or
    of the cloth around it: no other part of the body, no occluder is before it.

    Args:
      clothed: the joints that each surface clothes.
      joints: x, y, z in samples.
      depth: z of the nearest surface.
      ids: the nearest surface; negative where the person does not show.
      scale: samples per metre.
    """
    height, width = ids.shape
    x, y = np.rint(joints[:, 0]).astype(int), np.rint(joints[:, 1]).astype(int)
    # The frame ends half a sample beyond the outermost samples' centres.
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    front = ids[y, x]
    own = np.array([name in clothed[surface] for name, surface in zip(JOINTS, front.tolist())])
    near = depth[y, x] - joints[:, 2] <= _ALLOWED * scale
    return inside & (front >= 0) & own & near


def as_skeletons(points: Float[np.ndarray, "joints 2"], visible: Bool[np.ndarray, "joints"]) -> (
        tuple[dict[str, np.ndarray], dict[str, np.ndarray]]):
    """Poses [joints, 3], hidden joints being 0, and all joints' [joints, 2], by skeleton name."""
    shown = np.concatenate([np.where(visible[:, None], points, 0), visible[:, None]], axis=1)
    shown, points = shown.astype(np.float32), points.astype(np.float32)
    return ({name: shown[order] for name, order in _ORDER.items()},
            {name: points[order] for name, order in _ORDER.items()})
