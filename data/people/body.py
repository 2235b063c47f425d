"""A person's measures, the angles of the joints and their limits, and forward kinematics.

The body's own axes are x to the person's left, y up, z forward; lengths are metres, angles degrees.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Float

SIDES = ("left", "right")

# Normal ranges of motion, after the American Academy of Orthopaedic Surgeons' tables. Positive is
# flexion, abduction (away from the body), internal rotation, pronation, plantar flexion; for the
# spine and neck bend and twist are positive to the person's left.
_SPINE_LIMITS = {
    "spine_flexion": (-25.0, 80.0), "spine_bend": (-35.0, 35.0), "spine_twist": (-45.0, 45.0),
    "neck_flexion": (-45.0, 45.0), "neck_bend": (-45.0, 45.0), "neck_twist": (-60.0, 60.0)}
_SIDE_LIMITS = {
    "shoulder_flexion": (-60.0, 180.0), "shoulder_abduction": (-30.0, 180.0),
    "shoulder_rotation": (-90.0, 70.0), "elbow_flexion": (0.0, 150.0),
    "forearm_pronation": (-80.0, 80.0), "wrist_flexion": (-70.0, 80.0),
    "hip_flexion": (-30.0, 120.0), "hip_abduction": (-30.0, 45.0), "hip_rotation": (-45.0, 45.0),
    "knee_flexion": (0.0, 135.0), "ankle_flexion": (-20.0, 50.0)}

#: Lowest and highest value of every angle, degrees, each joint on its own.
JOINT_LIMITS: dict[str, tuple[float, float]] = _SPINE_LIMITS | {
    f"{side}_{name}": limits for side in SIDES for name, limits in _SIDE_LIMITS.items()}
#: The order of the angles in an array of angles.
ANGLES: tuple[str, ...] = tuple(JOINT_LIMITS)
_BOUNDS = np.array(list(JOINT_LIMITS.values()))
_COLUMN = {name: i for i, name in enumerate(ANGLES)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Body:
    """A person's shape.

    Attributes:
      height: stature in metres.
      legs, arms, trunk: lengths relative to the average of people of that height.
      shoulders, hips: breadths relative to the average.
      girth: thickness of trunk and limbs relative to the average.
      belly: extra depth of the abdomen in metres.
      bust: radius of the breasts in metres, 0 for none.
      head: size of the head relative to the average.
    """

    height: float = 1.72
    legs: float = 1.0
    arms: float = 1.0
    trunk: float = 1.0
    shoulders: float = 1.0
    hips: float = 1.0
    girth: float = 1.0
    belly: float = 0.0
    bust: float = 0.0
    head: float = 1.0


@dataclasses.dataclass(frozen=True)
class PosedBody:
    """Joints [3] in metres and bone axes [3, 3] (columns x, y, z) by name, in the body's axes."""

    joints: dict[str, np.ndarray]
    frames: dict[str, np.ndarray]


def neutral_angles() -> Float[np.ndarray, "angles"]:
    """Upright with hanging arms, degrees, in the order of `ANGLES`."""
    return np.zeros(len(ANGLES))


def clip_to_limits(angles: Float[np.ndarray, "*batch angles"]) -> Float[
        np.ndarray, "*batch angles"]:
    """The nearest legal angles: each joint's own limits, then the limits between joints."""
    angles = np.clip(angles, _BOUNDS[:, 0], _BOUNDS[:, 1])
    for side in SIDES:
        hip, knee, flexion, abduction = (
            _COLUMN[f"{side}_{name}"] for name in
            ("hip_flexion", "knee_flexion", "shoulder_flexion", "shoulder_abduction"))
        angles[..., hip] = np.minimum(angles[..., hip], _most_hip_flexion(angles[..., knee]))
        angles[..., abduction] = np.clip(
            angles[..., abduction], *_abduction_range(angles[..., flexion]))
    return angles


def is_legal(angles: Float[np.ndarray, "*batch angles"], tolerance: float = 1e-6) -> Bool[
        np.ndarray, "*batch"]:
    """Says whether angles are within a person's reach.

    Args:
      angles: degrees, in the order of `ANGLES`.
      tolerance: degrees by which a limit may be passed.

    Returns:
      True where every joint is within `JOINT_LIMITS`, no straight leg is lifted higher than the
      hamstrings allow, and no arm is both behind the back and abducted or adducted too far. NaN is
      not legal.
    """
    angles = np.asarray(angles, np.float64)
    return (np.abs(clip_to_limits(angles) - angles) <= tolerance).all(axis=-1)


def _most_hip_flexion(knee: np.ndarray) -> np.ndarray:
    # Hamstrings cross both joints: a straight leg rises to about 80 degrees, a bent one to 120.
    return 80.0 + 0.5 * np.maximum(knee, 0.0)


def _abduction_range(flexion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Adduction needs the arm in front of the trunk; an arm held backwards cannot rise sideways,
    # and an arm raised forward has used up part of the shoulder blade's rotation.
    lowest = np.clip(-1.0 * flexion, -30.0, 0.0)
    highest = 180.0 - 0.5 * np.maximum(flexion, 0.0) + 2.0 * np.minimum(flexion, 0.0)
    return lowest, highest


def rotation_x(degrees: float) -> Float[np.ndarray, "3 3"]:
    """Turns y towards z."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array(((1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c)))


def rotation_y(degrees: float) -> Float[np.ndarray, "3 3"]:
    """Turns z towards x."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array(((c, 0.0, s), (0.0, 1.0, 0.0), (-s, 0.0, c)))


def rotation_z(degrees: float) -> Float[np.ndarray, "3 3"]:
    """Turns x towards y."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array(((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)))


# Segment lengths and joint offsets as parts of the stature, after Drillis and Contini (1966).
_THIGH, _SHIN, _FOOT_HEIGHT, _FOOT = 0.245, 0.246, 0.039, 0.152
_UPPER_ARM, _FOREARM, _HAND = 0.178, 0.146, 0.102
WAIST, CHEST, NECK, SHOULDER_DROP = 0.062, 0.170, 0.286, 0.020
_HIP_BREADTH, _SHOULDER_BREADTH = 0.052, 0.098


def neck_height(body: Body) -> float:
    """How far the base of the neck of an upright body lies above the hips, metres."""
    return NECK * body.height * body.trunk


def pose_body(body: Body, angles: Float[np.ndarray, "angles"]) -> PosedBody:
    """Forward kinematics.

    Args:
      body: the person's measures.
      angles: joint angles in degrees, in the order of `ANGLES`.

    Returns:
      Joints and bone axes; the origin is the middle of the hips, the pelvis upright and facing +z.
    """
    a = {name: float(value) for name, value in zip(ANGLES, angles, strict=True)}
    size, trunk = body.height, body.height * body.trunk
    joints, frames = {"pelvis": np.zeros(3)}, {"pelvis": np.eye(3)}

    # The spine bends in two places, so that the trunk curves instead of breaking.
    half = (rotation_y(a["spine_twist"] / 2) @ rotation_z(-a["spine_bend"] / 2)
            @ rotation_x(a["spine_flexion"] / 2))
    frames["waist"] = half
    frames["chest"] = chest = half @ half
    joints["waist"] = np.array((0.0, WAIST * trunk, 0.0))
    joints["chest"] = joints["waist"] + half @ (0.0, (CHEST - WAIST) * trunk, 0.0)
    joints["neck_base"] = joints["chest"] + chest @ (0.0, (NECK - CHEST) * trunk, 0.0)
    half_neck = (rotation_y(a["neck_twist"] / 2) @ rotation_z(-a["neck_bend"] / 2)
                 @ rotation_x(a["neck_flexion"] / 2))
    frames["neck"] = chest @ half_neck
    frames["head"] = head = frames["neck"] @ half_neck
    joints["head"] = joints["neck_base"] + frames["neck"] @ (0.0, 0.060 * size, 0.010)

    scale = head_scale(body)
    for name, offset in _HEAD_POINTS.items():
        joints[name] = joints["head"] + head @ (np.array(offset) * scale)

    for side, sign in zip(SIDES, (1.0, -1.0)):
        _pose_arm(body, a, side, sign, joints, frames)
        _pose_leg(body, a, side, sign, joints, frames)
    joints["neck"] = (joints["left_shoulder"] + joints["right_shoulder"]) / 2
    return PosedBody(joints, frames)


#: Landmarks in the head's axes for an average head, metres; a little under the skin.
_HEAD_POINTS = {
    "nose": (0.0, 0.040, 0.102), "head_top": (0.0, 0.174, 0.005),
    "left_eye": (0.032, 0.072, 0.086), "right_eye": (-0.032, 0.072, 0.086),
    "left_ear": (0.074, 0.055, 0.000), "right_ear": (-0.074, 0.055, 0.000)}


def head_scale(body: Body) -> float:
    """Size of the head relative to that of a person of 1.72 m: heads vary less than statures."""
    return body.head * (body.height / 1.72) ** 0.5


def _pose_arm(body, a, side, sign, joints, frames):
    size, chest = body.height * body.arms, frames["chest"]
    shoulder = joints["neck_base"] + chest @ (
        sign * _SHOULDER_BREADTH * body.height * body.shoulders, -SHOULDER_DROP * body.height, 0.0)
    # A raised arm lifts the shoulder with it.
    lift = max(0.0, a[f"{side}_shoulder_abduction"] - 60.0, a[f"{side}_shoulder_flexion"] - 60.0)
    shoulder = shoulder + chest @ (-sign * lift * 2e-4, lift * 5e-4, 0.0)
    upper = (chest @ rotation_x(-a[f"{side}_shoulder_flexion"])
             @ rotation_z(sign * a[f"{side}_shoulder_abduction"])
             @ rotation_y(-sign * a[f"{side}_shoulder_rotation"]))
    fore = upper @ rotation_x(-a[f"{side}_elbow_flexion"])
    # At rest the palm faces the thigh; pronation turns it to the back.
    hand = (fore @ rotation_y(-sign * a[f"{side}_forearm_pronation"])
            @ rotation_z(-sign * a[f"{side}_wrist_flexion"]))
    elbow = shoulder + upper @ (0.0, -_UPPER_ARM * size, 0.0)
    wrist = elbow + fore @ (0.0, -_FOREARM * size, 0.0)
    joints |= {f"{side}_shoulder": shoulder, f"{side}_elbow": elbow, f"{side}_wrist": wrist,
               f"{side}_hand": wrist + hand @ (0.0, -_HAND * size, 0.0)}
    frames |= {f"{side}_upper_arm": upper, f"{side}_forearm": fore, f"{side}_hand": hand}


def _pose_leg(body, a, side, sign, joints, frames):
    size = body.height * body.legs
    hip = np.array((sign * _HIP_BREADTH * body.height * body.hips, 0.0, 0.0))
    thigh = (rotation_x(-a[f"{side}_hip_flexion"]) @ rotation_z(sign * a[f"{side}_hip_abduction"])
             @ rotation_y(-sign * a[f"{side}_hip_rotation"]))
    shin = thigh @ rotation_x(a[f"{side}_knee_flexion"])
    # Toes point a little outwards.
    foot = shin @ rotation_y(sign * 8.0) @ rotation_x(a[f"{side}_ankle_flexion"])
    knee = hip + thigh @ (0.0, -_THIGH * size, 0.0)
    ankle = knee + shin @ (0.0, -_SHIN * size, 0.0)
    joints |= {f"{side}_hip": hip, f"{side}_knee": knee, f"{side}_ankle": ankle,
               f"{side}_heel": ankle + foot @ (0.0, -_FOOT_HEIGHT * size * 0.4, -0.025 * size),
               f"{side}_toe": ankle + foot @ (
                   0.0, -_FOOT_HEIGHT * size * 0.55, (_FOOT - 0.052) * size)}
    frames |= {f"{side}_thigh": thigh, f"{side}_shin": shin, f"{side}_foot": foot}
