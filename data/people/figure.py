"""The posed, dressed person as round cones in space."""

from __future__ import annotations

import dataclasses

import numpy as np

from repose_jax.data.people.body import CHEST, SIDES, Body, PosedBody, head_scale, neck_height
from repose_jax.data.people.garments import Outfit, Pattern, whole_turns

MATERIALS = (
    "skin", "head", "hair", "torso", "yoke", "top", "bottom", "shoe", "bag", "hat", "sock", "face",
    "eye", "strands")
_MATERIAL = {name: i for i, name in enumerate(MATERIALS)}


@dataclasses.dataclass(frozen=True)
class Figure:
    """Round cones in the body's axes, metres; one row a cone.

    Attributes:
      start, end, front: [cones, 3].
      radii: [cones, 2]; squeeze: [cones, 2].
      cut: [cones] bool.
      material: numbers into `MATERIALS`, [cones].
      texture: v at the start, v at the end, radius that turns an angle into u, u at the front,
        [cones, 4].
      joints: names of the joints which the cone clothes: where it shows, they count as seen.
    """

    start: np.ndarray
    end: np.ndarray
    front: np.ndarray
    radii: np.ndarray
    squeeze: np.ndarray
    cut: np.ndarray
    material: np.ndarray
    texture: np.ndarray
    joints: tuple[tuple[str, ...], ...]


class _Cones:
    def __init__(self):
        self.rows, self.joints = [], []

    def add(self, material, start, end, r1, r2, front, *, side=1.0, depth=1.0, v=None, u=None,
            u0=0.0, cut=False, joints=()):
        length = float(np.linalg.norm(end - start))
        v0, v1 = (0.0, length) if v is None else v
        turn = (r1 + r2) / 2 if u is None else u
        self.rows.append((*start, *end, *front, r1, r2, side, depth, v0, v1, turn, u0,
                          cut, _MATERIAL[material]))
        self.joints.append(joints)

    def figure(self) -> Figure:
        t = np.array(self.rows, np.float64).reshape(-1, 19)
        return Figure(start=t[:, 0:3], end=t[:, 3:6], front=t[:, 6:9], radii=t[:, 9:11],
                      squeeze=t[:, 11:13], texture=t[:, 13:17], cut=t[:, 17] > 0,
                      material=t[:, 18].astype(np.intp), joints=tuple(self.joints))


def dress(body: Body, outfit: Outfit, posed: PosedBody) -> Figure:
    """Builds the person's cones; v of the trunk is the height above the hips, of a limb the
    distance from its upper end."""
    cones = _Cones()
    _trunk(cones, body, outfit, posed)
    if outfit.hem < 0.05 or outfit.drape and outfit.bottom_cut == "dress":
        _hem(cones, body, outfit, posed)
    _head(cones, body, outfit, posed)
    for side, sign in zip(SIDES, (1.0, -1.0)):
        _arm(cones, body, outfit, posed, side, sign)
        _leg(cones, body, outfit, posed, side, sign)
    if outfit.bottom_cut in ("skirt", "dress"):
        _skirt(cones, body, outfit, posed)
    _bag(cones, body, outfit, posed)
    return cones.figure()


def worn(body: Body, outfit: Outfit, posed: PosedBody) -> Figure:
    """The cones of what MakeHuman's mesh does not have: hat, long hair, bag."""
    cones = _Cones()
    if outfit.hat:
        _hat(cones, body, posed)
    _long_hair(cones, body, outfit, posed, "strands")
    _bag(cones, body, outfit, posed)
    return cones.figure()


def _turn(pattern: Pattern, radius: float) -> float:
    return whole_turns(pattern, radius)


def _trunk(cones, body, outfit, posed):
    j, f = posed.joints, posed.frames
    k, cloth = body.girth * body.height / 1.72, outfit.looseness
    pelvis, waist, chest = f["pelvis"], f["waist"], f["chest"]
    hip, rib = 0.158 * k * body.hips, 0.150 * k * (body.shoulders + 1) / 2
    middle = (0.128 * k if body.bust else 0.140 * k) + body.belly * 0.5
    top_of = lambda v: {"v": v, "u": _turn(outfit.top, 0.13)}
    w, c, n = j["waist"][1], CHEST * body.height * body.trunk, neck_height(body)
    hips = ("left_hip", "right_hip")
    shoulders = ("left_shoulder", "right_shoulder", "neck")
    cones.add("torso", j["pelvis"] + pelvis @ (0, 0.0, -0.016), j["waist"], hip + cloth / 2,
              middle + cloth, pelvis[:, 2], depth=0.66, joints=hips, **top_of((0.0, w)))
    cones.add("torso", j["waist"], j["chest"] + chest @ (0, 0.02, 0), middle + cloth, rib + cloth,
              waist[:, 2], depth=0.70, joints=shoulders, **top_of((w, c + 0.02)))
    if body.belly > 0.01:
        cones.add("torso", j["waist"] + waist @ (0, -0.03, 0.04 + body.belly),
                  j["waist"] + waist @ (0, 0.03, 0.03 + body.belly), 0.1 * k, 0.1 * k,
                  waist[:, 2], depth=0.7, **top_of((w - 0.03, w + 0.03)))
    upper = 0.112 * k * (body.shoulders + 1) / 2
    cones.add("torso", j["chest"] + chest @ (0, 0.02, 0), j["neck_base"] + chest @ (
        0, -0.075 * k, -0.005), rib + cloth, upper + cloth, chest[:, 2], depth=0.66,
        joints=shoulders, **top_of((c + 0.02, n - 0.075 * k)))
    for side, sign in zip(SIDES, (1.0, -1.0)):
        base, ball = j["neck_base"] + chest @ (sign * 0.018, 0.0, -0.010), j[f"{side}_shoulder"]
        cones.add("yoke", base, ball, 0.058 * k, 0.049 * k + cloth, chest[:, 2], u=0.055,
                  v=(0.018, 0.018 + float(np.linalg.norm(ball - base))),
                  joints=(f"{side}_shoulder", "neck"))
        if body.bust:
            r = body.bust
            cones.add("torso", j["chest"] + chest @ (sign * 0.072 * k, -0.01, 0.092 * k - r * 0.25),
                      j["chest"] + chest @ (sign * 0.068 * k, 0.04, 0.065 * k), r, r * 0.9,
                      chest[:, 2], u=0.06, u0=sign * 0.072, v=(c - 0.01, c + 0.04))
        if outfit.bottom_cut not in ("skirt", "dress"):
            # Buttocks keep the profile from being a plank.
            cones.add("torso", j["pelvis"] + pelvis @ (sign * 0.062 * k, -0.035, -0.040 * k),
                      j["pelvis"] + pelvis @ (sign * 0.058 * k, 0.03, -0.026 * k), 0.086 * k,
                      0.078 * k, pelvis[:, 2], v=(-0.035, 0.03), u=0.09, u0=sign * 0.6,
                      joints=(f"{side}_hip",))
    cones.add("skin", j["neck_base"] + chest @ (0, -0.03, -0.005), j["head"], 0.060 * k, 0.052 * k,
              f["neck"][:, 2], joints=("neck",))
    if outfit.opening in ("buttons", "open", "zip"):
        cones.add("top", j["neck_base"] + chest @ (0, -0.02, -0.008), j["neck_base"] + f["neck"] @ (
            0, 0.035, -0.014), 0.072 * k, 0.068 * k, f["neck"][:, 2], cut=True, joints=("neck",))


def _hem(cones, body, outfit, posed):
    """A top worn over the bottom, or a dress that hangs from the chest: a sleeve from the ribs, wide
    enough for the thighs in it."""
    j, chest = posed.joints, posed.joints["chest"]
    hem = -0.42 * 2 * outfit.bottom_length if outfit.bottom_cut == "dress" else outfit.hem
    k, cloth = body.girth * body.height / 1.72, outfit.looseness
    loose = {"trousers": cloth, "wide": cloth + 0.02, "shorts": cloth}.get(outfit.bottom_cut, 0.004)
    legs = np.stack([j[f"{side}_hip"] + np.clip(-hem / 0.42, 0.0, 1.0) * (
        j[f"{side}_knee"] - j[f"{side}_hip"]) for side in SIDES])
    thick = 0.088 * k * (body.hips + 1) / 2 + loose + 0.010 + outfit.drape
    low, high = legs.min(axis=0), legs.max(axis=0)
    wide, deep = (high[0] - low[0]) / 2 + thick, max(
        (high[2] - low[2]) / 2 + thick, 0.130 * k * body.hips + cloth)
    middle = np.array(((low[0] + high[0]) / 2, hem, (low[2] + high[2]) / 2 - 0.012))
    rib = 0.144 * k * (body.shoulders + 1) / 2 + cloth + 0.3 * outfit.drape
    cones.add("torso", chest, middle, rib, max(wide, deep), posed.frames["waist"][:, 2],
              side=min(1.0, wide / deep), depth=min(1.0, max(0.72, deep / wide)), cut=True,
              v=(CHEST * body.height * body.trunk, hem), u=_turn(outfit.top, 0.13),
              joints=("left_hip", "right_hip"))


def _on_head(cones, body, posed):
    """Adds cones in the axes and the size of the head."""
    s, axes = head_scale(body), posed.frames["head"]
    at = lambda x, y, z: posed.joints["head"] + axes @ (x * s, y * s, z * s)
    return lambda material, start, end, r1, r2, **more: cones.add(
        material, at(*start), at(*end), r1 * s, r2 * s, axes[:, 2], **more)


def _head(cones, body, outfit, posed):
    ball = _on_head(cones, body, posed)
    ball("head", (0, 0.004, 0.032), (0, 0.088, 0.006), 0.054, 0.090, side=0.86, depth=1.06,
         v=(0.004, 0.088), joints=("head_top", "left_eye", "right_eye", "nose"))
    ball("head", (0, 0.062, 0.090), (0, 0.037, 0.100), 0.009, 0.0150, v=(0.06, 0.036),
         joints=("nose",))
    for side, sign in zip(SIDES, (1.0, -1.0)):
        ball("skin", (sign * 0.077, 0.066, -0.004), (sign * 0.074, 0.040, 0.002), 0.018, 0.012,
             side=0.55, joints=(f"{side}_ear",))
    if outfit.hat:
        _hat(cones, body, posed)
    if outfit.hair == "bald":
        return
    top = ("head_top",)
    volume = {"short": 0.0, "curls": 0.022}.get(outfit.hair, 0.006)
    if not outfit.hat:
        back = 1.4 * volume if outfit.hair == "curls" else 0.0
        ball("hair", (0, 0.070 + back, -0.026 - back), (0, 0.096 + back, -0.010 - back), 0.088 + volume,
             0.090 + volume, side=0.88, depth=1.02, joints=top)
        if outfit.hair == "curls":
            ball("hair", (0, 0.148, 0.020), (0, 0.14, -0.03), 0.066, 0.10, joints=top)
    else:
        ball("hair", (0, 0.040, -0.030), (0, 0.070, -0.020), 0.074, 0.088, side=0.9, joints=top)
    _long_hair(cones, body, outfit, posed)


def _hat(cones, body, posed):
    ball = _on_head(cones, body, posed)
    ball("hat", (0, 0.105, -0.006), (0, 0.108, -0.004), 0.094, 0.092, side=0.92, depth=1.08,
         joints=("head_top",))
    ball("hat", (0, 0.112, 0.05), (0, 0.100, 0.125), 0.062, 0.050, depth=0.18)


def _long_hair(cones, body, outfit, posed, material="hair"):
    """What falls from the head or is tied up behind it."""
    j, f, s = posed.joints, posed.frames, head_scale(body)
    axes = f["head"]
    at = lambda x, y, z: j["head"] + axes @ (x * s, y * s, z * s)
    front, top = axes[:, 2], ("head_top",)
    if outfit.hair in ("bob", "long"):
        drop = 0.02 if outfit.hair == "bob" else outfit.hair_length
        nape = j["neck_base"] + f["chest"] @ (0, 0.075 * s - drop, -0.100 * s - 0.12 * drop)
        cones.add(material, at(0, 0.06, -0.042), nape, 0.092 * s, 0.080 * s, front, side=1.0,
                  depth=0.46, joints=top)
        for sign in (1.0, -1.0):
            low = at(sign * 0.074, -0.035 - min(drop, 0.06) * 0.6, -0.022)
            cones.add(material, at(sign * 0.070, 0.085, -0.008), low, 0.034 * s, 0.030 * s, front,
                      side=0.6, joints=top)
            if outfit.locks:
                over = j["neck_base"] + f["chest"] @ (sign * 0.085, -0.02, 0.055)
                fall = over + f["chest"] @ (-sign * 0.012, -outfit.locks, 0.055)
                cones.add(material, at(sign * 0.066, 0.02, 0.0), over, 0.036 * s, 0.038 * s, front,
                          depth=0.7)
                cones.add(material, over, fall, 0.038 * s, 0.020 * s, front, depth=0.7)
    elif outfit.hair == "ponytail":
        cones.add(material, at(0, 0.105, -0.115), at(0, 0.090, -0.135), 0.028 * s, 0.030 * s, front)
        tail = j["neck_base"] + f["chest"] @ (0, 0.06 - outfit.hair_length * 0.5, -0.13)
        cones.add(material, at(0, 0.095, -0.130), tail, 0.032 * s, 0.018 * s, front)
    elif outfit.hair == "bun":
        cones.add(material, at(0, 0.150, -0.085), at(0, 0.158, -0.090), 0.044 * s, 0.042 * s, front)


def _arm(cones, body, outfit, posed, side, sign):
    j, f = posed.joints, posed.frames
    k, cloth = body.girth * body.height / 1.72, outfit.looseness
    shoulder, elbow, wrist, hand = (
        j[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist", "hand"))
    upper, fore, palm = (f[f"{side}_{name}"] for name in ("upper_arm", "forearm", "hand"))
    length = float(np.linalg.norm(elbow - shoulder))
    turn = _turn(outfit.top, 0.045)
    up, down = (f"{side}_shoulder", f"{side}_elbow"), (f"{side}_elbow", f"{side}_wrist")
    bare = outfit.sleeve != "long"
    extra = 0.0 if bare else cloth + 0.25 * outfit.drape
    cones.add("skin" if bare else "top", shoulder, elbow, 0.050 * k + extra, 0.040 * k + extra,
              upper[:, 2], u=turn, v=(0, length), joints=up)
    cones.add("skin" if bare else "top", elbow, wrist, 0.041 * k + extra, 0.027 * k + extra,
              fore[:, 2], u=turn, v=(length, 2 * length), joints=down)
    if outfit.sleeve in ("short", "elbow"):
        part = 0.52 if outfit.sleeve == "short" else 0.9
        cones.add("top", shoulder, shoulder + part * (elbow - shoulder), 0.053 * k + cloth,
                  0.050 * k + cloth * 1.6 + 0.5 * outfit.drape, upper[:, 2], u=turn,
                  v=(0, part * length), cut=True, joints=up)
    elif outfit.drape and not bare:
        cones.add("top", elbow, elbow + 0.9 * (wrist - elbow), 0.041 * k + extra,
                  0.029 * k + cloth + 0.5 * outfit.drape, fore[:, 2], u=turn, v=(length, 1.9 * length),
                  cut=True, joints=down)
    # A mitten: palm and fingers, and the thumb to the front.
    knuckles = wrist + 0.48 * (hand - wrist)
    own = (f"{side}_wrist",)
    cones.add("skin", wrist, knuckles, 0.026 * k, 0.041 * k, palm[:, 2], side=0.5, joints=own)
    cones.add("skin", knuckles, wrist + 0.9 * (hand - wrist), 0.039 * k, 0.026 * k, palm[:, 2],
              side=0.42, depth=0.95, joints=own)
    cones.add("skin", wrist + 0.2 * (hand - wrist) + palm @ (0, 0, 0.02 * k),
              wrist + 0.58 * (hand - wrist) + palm @ (-sign * 0.012, 0, 0.048 * k), 0.017 * k,
              0.012 * k, palm[:, 2], joints=own)


def _leg(cones, body, outfit, posed, side, sign):
    j, f = posed.joints, posed.frames
    k, cloth = body.girth * body.height / 1.72, outfit.looseness
    hip, knee, ankle, heel, toe = (
        j[f"{side}_{name}"] for name in ("hip", "knee", "ankle", "heel", "toe"))
    thigh, shin, foot = (f[f"{side}_{name}"] for name in ("thigh", "shin", "foot"))
    length = float(np.linalg.norm(knee - hip))
    cut = outfit.bottom_cut
    clad = cut in ("trousers", "wide", "leggings")
    extra = {"trousers": cloth, "wide": cloth + 0.02}.get(cut, 0.002)
    turn = _turn(outfit.bottom, 0.075)
    up, down = (f"{side}_hip", f"{side}_knee"), (f"{side}_knee", f"{side}_ankle")
    outer = "bottom" if clad else "skin"
    r_hip, r_knee, r_ankle = 0.088 * k * (body.hips + 1) / 2, 0.056 * k, 0.037 * k
    more = extra if clad else 0.0
    # Under shorts and skirts the bare leg starts inside the cloth.
    start, r_start = (hip, r_hip) if clad else (
        hip + 0.3 * (knee - hip), r_hip + 0.3 * (r_knee - r_hip) - 0.004)
    cones.add(outer, start, knee, r_start + more / 2, r_knee + more, thigh[:, 2], u=turn,
              v=(0 if clad else 0.3 * length, length), joints=up)
    calf = knee + 0.30 * (ankle - knee) - shin[:, 2] * 0.012 * k
    cones.add(outer, knee, calf, r_knee + more, 0.055 * k + more, shin[:, 2], u=turn,
              v=(length, 1.3 * length), joints=down)
    cones.add(outer if clad and not more > 0.003 else "skin", calf, ankle, 0.055 * k, r_ankle,
              shin[:, 2], u=turn, v=(1.3 * length, 2 * length), joints=down)
    if clad and more > 0.003:
        # Loose trousers end in an open cuff; its width follows the cut.
        reach = min(1.0, max(0.0, outfit.bottom_length * 2 - 1.3) / 0.7)
        width = r_ankle + more * (2.4 if cut == "wide" else 1.3)
        cones.add("bottom", calf, calf + reach * (ankle - calf), 0.055 * k + more, width,
                  shin[:, 2], u=turn, v=(1.3 * length, 2 * length), cut=True, joints=down)
    elif cut == "shorts":
        part = min(1.0, outfit.bottom_length * 2)
        cones.add("bottom", hip, hip + part * (knee - hip), r_hip + cloth / 2,
                  r_knee + (r_hip - r_knee) * (1 - part) + cloth + 0.012, thigh[:, 2], u=turn,
                  v=(0, part * length), cut=True, joints=up)
        cones.add("bottom", hip, hip + 0.25 * (knee - hip), r_hip + cloth / 2, r_hip - 0.004,
                  thigh[:, 2], u=turn, v=(0, 0.25 * length), joints=up)
    _foot(cones, outfit, k, heel, toe, knee, ankle, shin, foot, (f"{side}_ankle",))


def _foot(cones, outfit, k, heel, toe, knee, ankle, shin, foot, own):
    material = "shoe"
    sole = foot[:, 1]
    ball = heel + 0.62 * (toe - heel)
    cones.add(material, heel, ball, 0.033 * k, 0.040 * k, sole, depth=0.9, v=(0, 0.62), joints=own)
    cones.add(material, ball, toe, 0.040 * k, 0.032 * k, sole, depth=0.66, v=(0.62, 1),
              joints=own)
    cones.add("skin" if outfit.shoes == "sandals" else material, ankle, heel + 0.42 * (toe - heel),
              0.036 * k, 0.036 * k, sole, joints=own)
    if outfit.shoes == "boots":
        cones.add("shoe", ankle, ankle + 0.5 * (knee - ankle), 0.046 * k, 0.060 * k, shin[:, 2],
                  v=(2, 3), cut=True, joints=own)
    elif outfit.shoes != "sandals" and outfit.bottom_cut in ("shorts", "leggings", "trousers"):
        cones.add("sock", ankle, ankle + 0.16 * (knee - ankle), 0.039 * k, 0.042 * k, shin[:, 2],
                  cut=True, joints=own)


def _skirt(cones, body, outfit, posed):
    j, f = posed.joints, posed.frames
    k, cloth, part = body.girth * body.height / 1.72, outfit.looseness, outfit.bottom_length
    turn, length, waist = _turn(outfit.bottom, 0.13), part * 0.84, j["waist"][1]
    r_hip, r_knee = 0.090 * k * (body.hips + 1) / 2 + cloth, 0.070 * k + cloth
    hems = []
    for side in SIDES:
        hip, knee, ankle = (j[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
        thigh, shin = f[f"{side}_thigh"][:, 2], f[f"{side}_shin"][:, 2]
        joints = tuple(f"{side}_{name}" for name in ("hip", "knee", "ankle"))
        # Cloth around each leg: one that steps out takes the skirt along.
        if part < 0.5:
            hems.append(hip + 2 * part * (knee - hip))
            cones.add("bottom", hip, hems[-1], r_hip, r_knee + 0.02, thigh, u=turn,
                      v=(0, length), cut=True, joints=joints)
        else:
            hems.append(knee + (2 * part - 1) * (ankle - knee))
            cones.add("bottom", hip, knee, r_hip, r_knee, thigh, u=turn, v=(0, 0.42),
                      joints=joints)
            cones.add("bottom", knee, hems[-1], r_knee, r_knee + 0.01, shin, u=turn,
                      v=(0.42, length), cut=True, joints=joints)
    middle, apart = (hems[0] + hems[1]) / 2, np.abs(hems[0] - hems[1]) / 2
    spread = 0.06 * part + outfit.flare * min(1.0, 2 * part)
    wide, deep = apart[0] + 0.11 * k + spread, apart[2] + 0.095 * k + spread
    r_waist = (0.128 * k if body.bust else 0.140 * k) + cloth + 0.004
    cones.add("bottom", np.array((0.0, waist, 0.0)), middle, r_waist, max(wide, deep),
              f["pelvis"][:, 2], u=turn, v=(-waist, length), side=min(1.0, max(0.8, wide / deep)),
              depth=min(1.0, max(0.72, deep / wide)), cut=True,
              joints=("left_hip", "right_hip", "left_knee", "right_knee"))


def _bag(cones, body, outfit, posed):
    j, f = posed.joints, posed.frames
    chest = f["chest"]
    if outfit.bag == "backpack":
        cones.add("bag", j["chest"] + chest @ (0, -0.10, -0.185), j["chest"] + chest @ (
            0, 0.09, -0.170), 0.125, 0.115, chest[:, 2], depth=0.62)
    elif outfit.bag == "handbag":
        hold = j["left_hand"]
        down = np.array((0.0, -1.0, 0.0))
        cones.add("bag", hold + 0.16 * down, hold + 0.24 * down, 0.095, 0.11,
                  f["pelvis"][:, 0], depth=0.4)
        cones.add("bag", hold, hold + 0.14 * down, 0.016, 0.012, f["pelvis"][:, 2])
    elif outfit.bag == "shoulder_bag":
        side = j["right_hip"] + (-0.11, 0.02, -0.02)
        cones.add("bag", side, side + (0.0, 0.10, 0.0), 0.10, 0.09, f["pelvis"][:, 0], depth=0.45)
