"""How people stand: random joint angles like those of pedestrians and of people shown in shops."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from repose_jax.data.people.body import ANGLES, SIDES, Body, clip_to_limits, pose_body

_JITTER = np.array([{"spine": 3.0, "neck": 6.0}.get(name.split("_")[0], 4.0) for name in ANGLES])
_BODY = Body()


def sample_angles(rng: np.random.Generator) -> Float[np.ndarray, "angles"]:
    """Legal joint angles in degrees, in the order of `ANGLES`, the arms outside of the body."""
    weights = np.array([weight for weight, _ in _MANNERS])
    manner = _MANNERS[int(rng.choice(len(_MANNERS), p=weights / weights.sum()))][1]
    chosen = dict.fromkeys(ANGLES, 0.0)
    for side in SIDES:
        chosen[f"{side}_elbow_flexion"] = rng.uniform(5, 30)
        chosen[f"{side}_shoulder_abduction"] = rng.uniform(6, 14)
        chosen[f"{side}_knee_flexion"] = rng.uniform(0, 6)
        chosen[f"{side}_hip_abduction"] = rng.uniform(0, 7)
        chosen[f"{side}_forearm_pronation"] = rng.uniform(-10, 50)
    chosen["neck_twist"] = rng.uniform(-35, 35) * rng.random()
    chosen["neck_flexion"] = rng.uniform(-8, 18)
    manner(chosen, rng)
    angles = np.array([chosen[name] for name in ANGLES])
    angles = clip_to_limits(angles + _JITTER * rng.standard_normal(len(ANGLES)) * 0.7)
    for side in SIDES:
        _free_arm(angles, side)
    return clip_to_limits(angles)


def arm_inside_body(angles: Float[np.ndarray, "angles"], side: str) -> bool:
    """Says whether an average person's forearm or hand would pass through the trunk or a thigh."""
    posed = pose_body(_BODY, angles)
    j, f = posed.joints, posed.frames
    elbow, wrist, hand = (j[f"{side}_{name}"] for name in ("elbow", "wrist", "hand"))
    points = np.stack([elbow, (elbow + wrist) / 2, wrist, (wrist + hand) / 2,
                       wrist + 1.4 * (hand - wrist)])
    for joint, frame, low, high, half_width, half_depth in (
            ("pelvis", "pelvis", -0.10, 0.12, 0.185, 0.15), ("chest", "chest", -0.2, 0.12, 0.165,
                                                             0.125)):
        local = (points - j[joint]) @ f[frame]
        inside = (local[:, 1] > low) & (local[:, 1] < high) & (
            (local[:, 0] / half_width) ** 2 + (local[:, 2] / half_depth) ** 2 < 1)
        if inside.any():
            return True
    for other in SIDES:
        hip, knee = j[f"{other}_hip"], j[f"{other}_knee"]
        along = np.clip((points - hip) @ (knee - hip) / ((knee - hip) @ (knee - hip)), 0, 1)
        gap = np.linalg.norm(points - hip - along[:, None] * (knee - hip), axis=1)
        if (gap < 0.115 - 0.03 * along).any():
            return True
    return False


def _free_arm(angles: np.ndarray, side: str) -> None:
    abduction = ANGLES.index(f"{side}_shoulder_abduction")
    flexion = ANGLES.index(f"{side}_shoulder_flexion")
    rotation = ANGLES.index(f"{side}_shoulder_rotation")
    elbow = ANGLES.index(f"{side}_elbow_flexion")
    for _ in range(12):
        if not arm_inside_body(angles, side):
            return
        angles[abduction] = min(angles[abduction] + 4, 60)
        angles[rotation] -= 5 * np.sign(angles[rotation])
        if angles[elbow] > 60:
            angles[flexion] += 4
    # Nothing helped: let the arm hang beside the body.
    angles[[abduction, flexion, rotation, elbow]] = 22, 6, 0, 12


def _stand(a: dict[str, float], rng: np.random.Generator) -> None:
    a["spine_bend"] = rng.normal(0, 3)
    a["spine_twist"] = rng.normal(0, 5)
    for side in SIDES:
        a[f"{side}_shoulder_flexion"] = rng.normal(0, 10)
        a[f"{side}_hip_rotation"] = rng.uniform(-15, 5)
    if rng.random() < 0.4:
        _relax_leg(a, rng, str(rng.choice(SIDES)))


def _relax_leg(a, rng, side):
    bend = rng.uniform(10, 35)
    a[f"{side}_knee_flexion"] = bend
    a[f"{side}_hip_flexion"] = bend * rng.uniform(0.4, 0.9)
    a[f"{side}_hip_abduction"] = rng.uniform(0, 15)
    a[f"{side}_ankle_flexion"] = bend * rng.uniform(-0.2, 0.4)


def _walk(a: dict[str, float], rng: np.random.Generator) -> None:
    phase, stride = rng.uniform(0, 2 * math.pi), rng.uniform(0.55, 1.15)
    swing = rng.uniform(0.4, 1.2) * stride
    a["spine_flexion"] = rng.uniform(0, 7)
    a["spine_twist"] = 7 * swing * math.cos(phase)
    for i, side in enumerate(SIDES):
        at = phase + math.pi * i
        a[f"{side}_hip_flexion"] = 4 + 25 * stride * math.cos(at)
        a[f"{side}_knee_flexion"] = 6 + 55 * stride * max(0.0, -math.sin(at)) ** 1.5
        a[f"{side}_ankle_flexion"] = 4 + 16 * max(0.0, math.sin(at + 0.4 + math.pi))
        a[f"{side}_shoulder_flexion"] = -24 * swing * math.cos(at)
        a[f"{side}_elbow_flexion"] = rng.uniform(12, 32) + 12 * max(0.0, -math.cos(at))


def _show(a: dict[str, float], rng: np.random.Generator) -> None:
    """A shop's model: weight on one leg, hands at the hips or beside the body."""
    _stand(a, rng)
    _relax_leg(a, rng, str(rng.choice(SIDES)))
    a["spine_bend"] = rng.normal(0, 5)
    a["neck_bend"] = rng.normal(0, 7)
    both = rng.random() < 0.3
    first = str(rng.choice(SIDES))
    for side in SIDES:
        if side == first or both:
            a[f"{side}_shoulder_abduction"] = rng.uniform(38, 55)
            a[f"{side}_shoulder_flexion"] = rng.uniform(-22, 0)
            a[f"{side}_shoulder_rotation"] = rng.uniform(35, 55)
            a[f"{side}_elbow_flexion"] = rng.uniform(85, 110)
            a[f"{side}_forearm_pronation"] = rng.uniform(-60, 0)


def _hold(a: dict[str, float], rng: np.random.Generator) -> None:
    """One or both forearms in front: a telephone, a bag's strap, something carried."""
    (_walk if rng.random() < 0.5 else _stand)(a, rng)
    first, both = str(rng.choice(SIDES)), rng.random() < 0.35
    for side in SIDES:
        if side == first or both:
            a[f"{side}_shoulder_flexion"] = rng.uniform(10, 50)
            a[f"{side}_shoulder_rotation"] = rng.uniform(-5, 35)
            a[f"{side}_elbow_flexion"] = rng.uniform(70, 140)
            a[f"{side}_forearm_pronation"] = rng.uniform(-40, 60)


def _raise(a: dict[str, float], rng: np.random.Generator) -> None:
    """Arms up or stretched out."""
    _stand(a, rng)
    first, both = str(rng.choice(SIDES)), rng.random() < 0.6
    sideways = rng.random() < 0.5
    for side in SIDES:
        if side == first or both:
            a[f"{side}_shoulder_abduction"] = rng.uniform(60, 160) if sideways else rng.uniform(
                5, 30)
            a[f"{side}_shoulder_flexion"] = rng.uniform(-5, 25) if sideways else rng.uniform(
                70, 170)
            a[f"{side}_elbow_flexion"] = rng.uniform(5, 110)
            a[f"{side}_shoulder_rotation"] = rng.uniform(-70, 10)


def _sit(a: dict[str, float], rng: np.random.Generator) -> None:
    """Sitting, crouching or stepping up."""
    depth = rng.uniform(55, 95)
    a["spine_flexion"] = rng.uniform(0, 25)
    for side in SIDES:
        a[f"{side}_hip_flexion"] = depth + rng.uniform(-8, 8)
        a[f"{side}_knee_flexion"] = depth + rng.uniform(-20, 25)
        a[f"{side}_hip_abduction"] = rng.uniform(2, 18)
        a[f"{side}_ankle_flexion"] = rng.uniform(-15, 10)
        a[f"{side}_shoulder_flexion"] = rng.uniform(15, 45)
        a[f"{side}_elbow_flexion"] = rng.uniform(20, 80)
    if rng.random() < 0.4:
        side = str(rng.choice(SIDES))
        a[f"{side}_hip_flexion"] *= 0.15
        a[f"{side}_knee_flexion"] *= 0.15


_MANNERS: tuple[tuple[float, Callable], ...] = (
    (0.26, _stand), (0.36, _walk), (0.14, _show), (0.12, _hold), (0.07, _raise), (0.05, _sit))
