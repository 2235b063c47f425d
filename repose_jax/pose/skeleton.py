"""Skeletons as data: which joints a pose has, which limbs join them, which are mirror images.

A pose is an array of shape [joints, 3]: x and y in pixels of the picture it belongs to (the centre
of the top left pixel is (0, 0)) and a visibility in [0, 1], where 0 means "not known". Nothing else
in the package knows a joint by number; everything asks the skeleton.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Skeleton:
    """A set of named joints and the limbs between them.

    Attributes:
      name: the name that configurations and files use.
      joints: joint names in the order in which files store them.
      limbs: pairs of joint names, each directed away from the trunk.
      torso: the names of right shoulder, left shoulder, right hip, left hip.
    """

    name: str
    joints: tuple[str, ...]
    limbs: tuple[tuple[str, str], ...]
    torso: tuple[str, str, str, str] = (
        "right_shoulder", "left_shoulder", "right_hip", "left_hip")

    def __post_init__(self):
        named = {joint for limb in self.limbs for joint in limb} | set(self.torso)
        unknown = named - set(self.joints)
        if unknown:
            raise ValueError(f"skeleton {self.name}: limbs name unknown joints {sorted(unknown)}")

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Position of a joint; raises ValueError for a name that this skeleton lacks."""
        return self.joints.index(joint)

    @functools.cached_property
    def limb_indices(self) -> np.ndarray:
        """Limbs as joint numbers, [limbs, 2] int32."""
        return np.array([[self.index(a), self.index(b)] for a, b in self.limbs], np.int32)

    @functools.cached_property
    def torso_indices(self) -> np.ndarray:
        """Right shoulder, left shoulder, right hip, left hip as joint numbers, [4] int32."""
        return np.array([self.index(j) for j in self.torso], np.int32)

    @functools.cached_property
    def flip_order(self) -> np.ndarray:
        """Joint order after a horizontal flip, [joints] int32: left and right change places."""
        def mirror(joint: str) -> str:
            if joint.startswith("left_"):
                return "right_" + joint.removeprefix("left_")
            if joint.startswith("right_"):
                return "left_" + joint.removeprefix("right_")
            return joint
        return np.array([self.index(mirror(j)) for j in self.joints], np.int32)


_ARMS_AND_LEGS = tuple(
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("right", "left")
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")))

_FROM_NECK = tuple(("neck", f"{side}_{part}") for side in ("right", "left")
                   for part in ("shoulder", "hip"))

# OpenPose's COCO order (Cao et al. 2017): right eye, left eye, right ear, left ear at the end.
OPENPOSE18 = Skeleton(
    name="openpose18",
    joints=("nose", "neck",
            "right_shoulder", "right_elbow", "right_wrist",
            "left_shoulder", "left_elbow", "left_wrist",
            "right_hip", "right_knee", "right_ankle",
            "left_hip", "left_knee", "left_ankle",
            "right_eye", "left_eye", "right_ear", "left_ear"),
    limbs=_FROM_NECK + _ARMS_AND_LEGS + (
        ("neck", "nose"),
        ("nose", "right_eye"), ("right_eye", "right_ear"),
        ("nose", "left_eye"), ("left_eye", "left_ear")))

# COCO keypoints (Lin et al. 2014).
COCO17 = Skeleton(
    name="coco17",
    joints=("nose", "left_eye", "right_eye", "left_ear", "right_ear",
            "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
            "left_wrist", "right_wrist", "left_hip", "right_hip",
            "left_knee", "right_knee", "left_ankle", "right_ankle"),
    limbs=(("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"),
           ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip")) + _ARMS_AND_LEGS + (
        ("nose", "right_eye"), ("right_eye", "right_ear"), ("right_ear", "right_shoulder"),
        ("nose", "left_eye"), ("left_eye", "left_ear"), ("left_ear", "left_shoulder")))

# The 14 joints of the machine-made Market-1501 annotations.
MARKET14 = Skeleton(
    name="market14",
    joints=("head_top", "neck",
            "right_shoulder", "right_elbow", "right_wrist",
            "left_shoulder", "left_elbow", "left_wrist",
            "right_hip", "right_knee", "right_ankle",
            "left_hip", "left_knee", "left_ankle"),
    limbs=(("neck", "head_top"),) + _FROM_NECK + _ARMS_AND_LEGS)

SKELETONS: dict[str, Skeleton] = {s.name: s for s in (OPENPOSE18, COCO17, MARKET14)}


def flip_pose(pose: np.ndarray, skeleton: Skeleton, width: float) -> np.ndarray:
    """Mirrors poses left to right, joints and their names alike.

    Args:
      pose: [..., joints, 3], x and y in pixels.
      skeleton: says which joints change places.
      width: width of the picture in pixels.

    Returns:
      The mirrored poses, [..., joints, 3].
    """
    flipped = np.array(pose)[..., skeleton.flip_order, :]
    flipped[..., 0] = np.where(flipped[..., 2] > 0, width - 1 - flipped[..., 0], flipped[..., 0])
    return flipped
