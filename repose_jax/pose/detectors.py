"""The joint orders of common pose detectors, and their output as poses; data, no detector.

Their skeletons are only for reading: `formats.convert` carries a pose to the skeleton of a model by
the joints' names. What a detector finds beyond them (faces, hands) is left out. Orders: OpenPose's
BODY_25 (Cao et al. 2019), Halpe (Fang et al., AlphaPose, 2022), COCO-WholeBody (Jin et al. 2020),
MediaPipe's pose landmarker (BlazePose, Bazarevsky et al. 2020).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from repose_jax.pose.people import MIN_CONFIDENCE
from repose_jax.pose.skeleton import COCO17, MARKET14, OPENPOSE18, SKELETONS, Skeleton

_FEET = tuple((f"{side}_ankle", f"{side}_{end}") for side in ("right", "left")
              for end in ("big_toe", "small_toe", "heel"))

BODY25 = Skeleton(
    name="body25",
    joints=("nose", "neck",
            "right_shoulder", "right_elbow", "right_wrist",
            "left_shoulder", "left_elbow", "left_wrist", "mid_hip",
            "right_hip", "right_knee", "right_ankle",
            "left_hip", "left_knee", "left_ankle",
            "right_eye", "left_eye", "right_ear", "left_ear",
            "left_big_toe", "left_small_toe", "left_heel",
            "right_big_toe", "right_small_toe", "right_heel"),
    limbs=OPENPOSE18.limbs + _FEET)

HALPE26 = Skeleton(
    name="halpe26",
    joints=COCO17.joints + (
        "head_top", "neck", "mid_hip", "left_big_toe", "right_big_toe",
        "left_small_toe", "right_small_toe", "left_heel", "right_heel"),
    limbs=MARKET14.limbs + _FEET)

# The body and the feet, the first 23 of COCO-WholeBody's 133 points.
WHOLEBODY23 = Skeleton(
    name="wholebody23",
    joints=COCO17.joints + (
        "left_big_toe", "left_small_toe", "left_heel",
        "right_big_toe", "right_small_toe", "right_heel"),
    limbs=COCO17.limbs + _FEET)

MEDIAPIPE33 = Skeleton(
    name="mediapipe33",
    joints=("nose", "left_eye_inner", "left_eye", "left_eye_outer",
            "right_eye_inner", "right_eye", "right_eye_outer", "left_ear", "right_ear",
            "left_mouth", "right_mouth",
            *(f"{side}_{joint}" for joint in (
                "shoulder", "elbow", "wrist", "pinky", "index", "thumb",
                "hip", "knee", "ankle", "heel", "foot_index") for side in ("left", "right"))),
    limbs=COCO17.limbs + tuple(
        (f"{side}_{start}", f"{side}_{end}") for side in ("right", "left") for start, end in (
            ("wrist", "index"), ("wrist", "thumb"), ("wrist", "pinky"), ("ankle", "heel"),
            ("ankle", "foot_index"))))

#: Every skeleton that a file may be written in, by name; models know those of `SKELETONS` only.
LAYOUTS: dict[str, Skeleton] = SKELETONS | {
    s.name: s for s in (BODY25, HALPE26, WHOLEBODY23, MEDIAPIPE33)}

# Number of points -> the skeleton of the first of them; 136 are Halpe's with face and hands.
_BY_POINTS = {17: COCO17, 18: OPENPOSE18, 23: WHOLEBODY23, 25: BODY25, 26: HALPE26,
              33: MEDIAPIPE33, 133: WHOLEBODY23, 136: HALPE26}


def layout_of(points: int) -> Skeleton:
    """The skeleton of a detector's so many points.

    Raises:
      ValueError: for a number that no known detector has.
    """
    if points not in _BY_POINTS:
        raise ValueError(f"has {points} joints where detectors have "
                         f"{', '.join(map(str, _BY_POINTS))}")
    return _BY_POINTS[points]


def detected(
    keypoints: Float[np.ndarray, "people points 2"],
    scores: Float[np.ndarray, "people points"],
    *,
    threshold: float = MIN_CONFIDENCE,
) -> tuple[Float[np.ndarray, "people joints 3"], Skeleton]:
    """Poses from a detector's arrays, such as those of rtmlib or MMPose.

    Args:
      keypoints: x and y in pixels; 17 (COCO), 18 (OpenPose), 25 (BODY_25), 26 or 136 (Halpe), 33
        (MediaPipe), 23 or 133 (COCO-WholeBody) points a person.
      scores: confidence of each point; above 1 counts as 1.
      threshold: points of a lower score are missing.

    Returns:
      The poses, joints that are missing being 0, and their skeleton.

    Raises:
      ValueError: for another number of points, or a number that is not finite.
    """
    skeleton = layout_of(keypoints.shape[1])
    pose = np.concatenate([keypoints, scores[..., None]], axis=-1)[:, :len(skeleton)]
    if not np.isfinite(pose).all():
        raise ValueError("has a number that is not finite")
    pose[..., 2] = np.minimum(pose[..., 2], 1)
    return np.where((pose[..., 2:] >= threshold) & (pose[..., 2:] > 0), pose, 0).astype(
        np.float32), skeleton


def landmarks(
    people: Sequence[Sequence[object]], size: tuple[int, int]
) -> Float[np.ndarray, "people 33 3"]:
    """Poses from the pose landmarks that MediaPipe's detector returns.

    Args:
      people: 33 landmarks for each person, dicts or MediaPipe's own objects, with x and y as
        fractions of the picture's width and height, and a visibility, which is 1 where it is None.
      size: (height, width) of the picture in pixels.

    Returns:
      x, y in pixels and the visibility, in the order of `MEDIAPIPE33`; see `detected`.
    """
    each = [[point if isinstance(point, dict) else vars(point) for point in person]
            for person in people]
    points = np.array([[(p["x"], p["y"], 1.0 if p.get("visibility") is None else p["visibility"])
                        for p in person] for person in each], np.float64)
    points = points.reshape(-1, len(MEDIAPIPE33), 3)
    # The centre of the first pixel is 0 here and half a pixel there.
    return detected(points[..., :2] * [size[1], size[0]] - 0.5, points[..., 2])[0]
