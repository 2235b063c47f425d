"""Puts MakeHuman's mesh on a posed body: its bones take the places and lengths of ours.

Each bone carries its points by one affine map, from the mesh as it stands to the posed body; a point
between bones is carried by the mean of their maps, by its weights (linear blend skinning).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from repose_jax.data.people.body import (
    CHEST, NECK, SHOULDER_DROP, SIDES, WAIST, Body, PosedBody, head_scale, neck_height)
from repose_jax.data.people.makehuman import Mesh

# Which of our frames carries each of the mesh's bones. Between waist and chest the spine bends evenly.
_TRUNK = {"pelvis": "pelvis", "Root": "pelvis", "spine_01": "waist", "spine_02": "chest",
          "spine_03": "chest", "neck_01": "neck", "head": "head"}
_LIMBS = {"clavicle": "collar", "upperarm": "upper_arm", "lowerarm": "forearm", "thigh": "thigh",
          "calf": "shin", "foot": "foot", "ball": "foot"}


def carrier(bone: str) -> str:
    """The name of our frame that carries a bone of the mesh."""
    if bone in _TRUNK:
        return _TRUNK[bone]
    name, side = bone.rsplit("_", 1)
    return f"{'left' if side == 'l' else 'right'}_{_LIMBS.get(name, 'hand')}"


class Rig:
    """How far the bones of a shaped mesh lie from ours.

    Attributes:
      origins: a point by the frame's name which becomes the joint that the frame turns about, [3].
      axes: maps an offset from it to the frame's axes, the body upright with hanging arms, [3, 3].
    """

    def __init__(self, mesh: Mesh, points: Float[np.ndarray, "points 3"]):
        at = {name: points[around].mean(0) for name, around in mesh.landmarks.items()}
        hips = (at["l-upper-leg"] + at["r-upper-leg"]) / 2
        shoulders = (at["l-shoulder"] + at["r-shoulder"]) / 2
        stature = points[:, 1].max() - at["ground"][1]
        neck = np.array((0.0, shoulders[1] + SHOULDER_DROP * stature, hips[2]))
        between = lambda share: hips + share * (neck - hips)
        eyes = (at["l-eye"] + at["r-eye"]) / 2
        self.stature = stature
        self.origins = {"pelvis": hips, "waist": between(WAIST / NECK), "chest": between(CHEST / NECK),
                        "neck": neck, "head": eyes - (0.0, 0.072, 0.090)}
        self.lengths = {"trunk": neck[1] - hips[1]}
        self.axes = dict.fromkeys(self.origins, np.eye(3))
        for side, letter in zip(SIDES, "lr"):
            self._arm(at, side, letter)
            self._leg(at, side, letter)

    def _arm(self, at, side, letter):
        shoulder, elbow, wrist, index, little, middle = (
            at[f"{letter}-{name}"] for name in (
                "shoulder", "elbow", "hand", "finger-2-1", "finger-5-1", "finger-3-1"))
        upper, fore = elbow - shoulder, wrist - elbow
        # The elbow bends about x, forwards.
        hinge = _unit(-np.cross(upper, fore))
        self._limb(f"{side}_upper_arm", shoulder, upper, np.cross(hinge, -upper))
        self._limb(f"{side}_forearm", elbow, fore, np.cross(hinge, -fore))
        self._limb(f"{side}_hand", wrist, middle - wrist, index - little)
        self.origins[f"{side}_collar"], self.axes[f"{side}_collar"] = shoulder, np.eye(3)

    def _leg(self, at, side, letter):
        hip, knee, ankle, toe = (
            at[f"{letter}-{name}"] for name in ("upper-leg", "knee", "ankle", "foot-1"))
        self._limb(f"{side}_thigh", hip, knee - hip, np.array((0.0, 0.0, 1.0)))
        self._limb(f"{side}_shin", knee, ankle - knee, np.array((0.0, 0.0, 1.0)))
        self.origins[f"{side}_foot"] = ankle
        ahead = _unit((toe - ankle) * (1, 0, 1))
        self.axes[f"{side}_foot"] = np.stack([np.cross((0, 1, 0), ahead), (0, 1, 0), ahead])

    def _limb(self, name, start, along, front):
        """A frame whose y runs back along the limb and whose z is next to a direction."""
        y = -_unit(along)
        z = _unit(front - (front @ y) * y)
        self.origins[name], self.axes[name] = start, np.stack([np.cross(y, z), y, z])
        self.lengths[name] = float(np.linalg.norm(along))

    def maps(self, body: Body, posed: PosedBody) -> dict[str, Float[np.ndarray, "3 4"]]:
        """The affine map by the frame's name: from the shaped mesh to the posed body."""
        thick = body.height / self.stature
        joints, frames = posed.joints, posed.frames
        trunk = neck_height(body) / self.lengths["trunk"]
        found = {}

        def carry(name, joint, frame, scale):
            turn = frame @ np.diag(scale) @ self.axes[name]
            found[name] = np.concatenate([turn, (joint - turn @ self.origins[name])[:, None]], 1)

        for name, joint in (("pelvis", "pelvis"), ("waist", "waist"), ("chest", "chest"),
                            ("neck", "neck_base")):
            carry(name, joints[joint], frames[name], (thick, trunk, thick))
        carry("head", joints["head"], frames["head"], (head_scale(body),) * 3)
        for side in SIDES:
            carry(f"{side}_collar", joints[f"{side}_shoulder"], frames["chest"], (thick, trunk, thick))
            for name, start, end in (("upper_arm", "shoulder", "elbow"), ("forearm", "elbow", "wrist"),
                                     ("thigh", "hip", "knee"), ("shin", "knee", "ankle")):
                long = np.linalg.norm(joints[f"{side}_{end}"] - joints[f"{side}_{start}"])
                carry(f"{side}_{name}", joints[f"{side}_{start}"], frames[f"{side}_{name}"],
                      (thick, long / self.lengths[f"{side}_{name}"], thick))
            for name, joint in (("hand", "wrist"), ("foot", "ankle")):
                carry(f"{side}_{name}", joints[f"{side}_{joint}"], frames[f"{side}_{name}"],
                      (thick,) * 3)
        return found


def skin(points: Float[np.ndarray, "points 3"], weights: Float[np.ndarray, "points frames"],
         frames: tuple[str, ...], maps: dict[str, np.ndarray]) -> Float[np.ndarray, "points 3"]:
    """Points of the mesh on the posed body, each by the mean of its frames' maps."""
    of_frames = np.stack([maps[frame] for frame in frames]).reshape(len(frames), 12)
    blended = (weights @ of_frames.astype(np.float32)).reshape(-1, 3, 4)
    return np.einsum("nij,nj->ni", blended[..., :3], points) + blended[..., 3]


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
