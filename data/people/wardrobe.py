"""A person's skin and clothes as layers of MakeHuman's mesh, which stand off it.

Clothes are cut from the mesh's tights and skirt. Where a garment ends is a number at each point, whose
sign changes at the hem, so that hems cross triangles.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from repose_jax.data.people import makehuman
from repose_jax.data.people.body import SIDES, Body, neck_height
from repose_jax.data.people.figure import MATERIALS
from repose_jax.data.people.garments import Outfit, whole_turns
from repose_jax.data.people.makehuman import Mesh
from repose_jax.data.people.rasterise import normals
from repose_jax.data.people.rig import Rig, carrier

_MATERIAL = {name: i for i, name in enumerate(MATERIALS)}
_TRUNK = ("pelvis", "waist", "chest", "neck", "left_collar", "right_collar")
#: Parts of the body, and the joints that each clothes: where it shows, they count as seen.
PARTS: dict[str, tuple[str, ...]] = {
    "pelvis": ("left_hip", "right_hip"), "waist": ("left_shoulder", "right_shoulder", "neck"),
    "chest": ("left_shoulder", "right_shoulder", "neck"), "neck": ("neck",),
    "head": ("head_top", "left_eye", "right_eye", "nose"), "scalp": ("head_top",)} | {
    f"{side}_{name}": tuple(f"{side}_{joint}" for joint in joints)
    for side in SIDES for name, joints in (
        ("collar", ("shoulder",)), ("upper_arm", ("shoulder", "elbow")),
        ("forearm", ("elbow", "wrist")), ("hand", ("wrist",)), ("thigh", ("hip", "knee")),
        ("shin", ("knee", "ankle")), ("foot", ("ankle",)), ("ear", ("ear",)))}
# Where sleeves end, the elbow being 1 and the wrist 2; a vest has none.
_SLEEVE_ENDS = {"short": 0.52, "elbow": 0.95, "long": 1.93}
_PART = {name: i for i, name in enumerate(PARTS)}


@dataclasses.dataclass(frozen=True)
class Layers:
    """Skin and clothes before they are posed.

    Attributes:
      points: [points, 3] metres; weights: of the frames that carry them, [points, frames]; keep:
        negative beyond a hem, [points]; tint: factors of the colour, [points, 3].
      frames: names of the frames.
      triangles: [triangles, 3]; material: numbers into `MATERIALS`, part: into `PARTS`, [triangles].
      place: u and v of each corner of each triangle, see `surface`, [triangles, 3, 2].
    """

    points: np.ndarray
    weights: np.ndarray
    keep: np.ndarray
    tint: np.ndarray
    triangles: np.ndarray
    material: np.ndarray
    part: np.ndarray
    place: np.ndarray
    frames: tuple[str, ...]


class _Place(NamedTuple):
    """Where the points of a layer lie on it, see `surface`.

    Attributes:
      u: around a limb an angle, radians, with a jump behind it; else as it is.
      v: along it.
      turn: what u grows by for each radian; None where u is no angle.
    """

    u: np.ndarray
    v: np.ndarray
    turn: float | None = None

    def corners(self, triangles: np.ndarray) -> np.ndarray:
        """u and v of each corner of triangles, [triangles, 3, 2]."""
        across = self.u[triangles]
        if self.turn is not None:  # corners follow the first
            across = self.turn * (
                across[:, :1] + (across - across[:, :1] + np.pi) % (2 * np.pi) - np.pi)
        return np.stack([across, self.v[triangles]], -1)


class _Tailor:
    """Measures a shaped mesh and cuts layers from it."""

    def __init__(self, mesh: Mesh, points: np.ndarray, rig: Rig, body: Body):
        self.mesh, self.points, self.rig = mesh, points, rig
        carriers = [carrier(bone) for bone in mesh.bones]
        self.frames = tuple(dict.fromkeys(carriers))
        self.weights = np.stack([mesh.weights[:, [name == frame for name in carriers]].sum(1)
                                 for frame in self.frames], 1)
        most = self.weights.argmax(1)
        self.main = np.array(self.frames)[most]
        self.part = np.array([_PART[frame] for frame in self.frames])[most]
        hips = rig.origins["pelvis"]
        metres = neck_height(body) / rig.lengths["trunk"]
        self.height = (points[:, 1] - hips[1]) * metres
        self.around = np.arctan2(points[:, 0], points[:, 2] - hips[2])
        self.head = points - rig.origins["head"]
        self.layers: list[tuple] = []
        self.outward: dict[tuple[str, bool], np.ndarray] = {}  # normals by group, relaxed or not

    def along(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """How far down a limb the points lie, in its lengths, and their angle from its front."""
        local = (self.points - self.rig.origins[name]) @ self.rig.axes[name].T
        return -local[:, 1] / self.rig.lengths[name], np.arctan2(local[:, 0], local[:, 2])

    def limb(self, side: str, upper: str, lower: str) -> tuple[np.ndarray, np.ndarray]:
        """How far down a limb of two parts, from 0 to 2, and the angle from its front."""
        (first, turn), (second, turn_below) = (self.along(f"{side}_{name}") for name in (upper, lower))
        below = np.isin(self.main, (f"{side}_{lower}", f"{side}_hand", f"{side}_foot"))
        return np.where(below, 1 + second, np.minimum(first, 1.0)), np.where(below, turn_below, turn)

    def of(self, *names: str) -> np.ndarray:
        """The points that these frames carry most."""
        return np.isin(self.main, names)

    def arm(self, side: str) -> np.ndarray:
        return self.of(*(f"{side}_{name}" for name in ("upper_arm", "forearm", "hand")))

    def leg(self, side: str) -> np.ndarray:
        return self.of(*(f"{side}_{name}" for name in ("thigh", "shin", "foot")))

    def cut(self, group: str, material: str, place: _Place | None = None, *, off=0.0, keep=None,
            part=None, tint=None, points=None, within=None):
        """Adds a layer.

        Args:
          group: of the mesh's triangles.
          material: one of `MATERIALS`.
          place: None where the material has no pattern.
          off: how far off the group it lies, metres, one number or each point's.
          keep: it ends where this falls below 0; None for all.
          part: one of `PARTS`, or each point's number; None for that of the frames.
          tint: factors of the colour, each point's.
          points: what the group was moved to before.
          within: of the triangles those whose first point is in it.
        """
        count, whole = len(self.points), self.mesh.triangles[group]
        keep = np.ones(count) if keep is None else keep
        triangles = whole if within is None else whole[within[whole[:, 0]]]
        triangles = triangles[keep[triangles].max(1) >= 0]
        if not len(triangles):
            return
        place = _Place(np.zeros(count), np.zeros(count)) if place is None else place
        part = self.part if part is None else part
        parts = np.full(len(triangles), _PART[part]) if isinstance(part, str) else part[triangles[:, 0]]
        base = self.points if points is None else points
        used, where = np.unique(triangles, return_inverse=True)
        moved = base[used]
        if np.any(off):
            # By all of the group, so that layers of one meet without a gap.
            key = group, points is not None
            if key not in self.outward:
                self.outward[key] = normals(base, whole)
            moved = moved + self.outward[key][used] * (off if np.ndim(off) == 0 else off[used][:, None])
        self.layers.append((moved, self.weights[used], keep[used],
                            np.ones((len(used), 3)) if tint is None else tint[used],
                            where.reshape(triangles.shape),
                            np.full(len(triangles), _MATERIAL[material]), parts,
                            place.corners(triangles)))

    def sewn(self) -> Layers:
        first = np.cumsum([0] + [len(layer[0]) for layer in self.layers])
        joined = [np.concatenate([layer[i] for layer in self.layers]) for i in range(8)]
        joined[4] = np.concatenate([layer[4] + start for layer, start in zip(self.layers, first)])
        return Layers(*(values.astype(np.float32) if values.dtype.kind == "f" else values
                        for values in joined), self.frames)


def dressed(mesh: Mesh, points: Float[np.ndarray, "points 3"], rig: Rig, body: Body,
            outfit: Outfit) -> Layers:
    """Skin and clothes of a shaped mesh; `surface` says what u and v are."""
    tailor = _Tailor(mesh, points, rig, body)
    neck = neck_height(body)
    top, bottom = _top_ends(tailor, outfit, neck), _bottom_ends(tailor, outfit)
    _skin(tailor, outfit, np.maximum(top, bottom))
    _hair(tailor, outfit)
    _bottom(tailor, outfit, bottom)
    _top(tailor, outfit, top)
    _shoes(tailor, outfit)
    return tailor.sewn()


def _skin(tailor, outfit, covered):
    tint = np.ones((len(tailor.points), 3))
    lips, lids, ears = (makehuman.painted(name)[:, None] for name in ("lips", "eyelids", "ears"))
    tint *= 1 + lips * (np.array((0.84, 0.58, 0.58)) - 1)
    tint *= 1 + lids * (np.array((0.86, 0.80, 0.80)) - 1)
    tint *= 1 + ears * (np.array((0.97, 0.88, 0.86)) - 1)
    tint *= 1 + makehuman.painted("inside-mouth")[:, None] * (np.array((0.35, 0.2, 0.2)) - 1)
    # Cheeks and the tip of the nose are redder.
    x, y, z = tailor.head.T
    red = np.exp(-((np.abs(x) - 0.045) / 0.022) ** 2 - ((y - 0.04) / 0.022) ** 2) * (z > 0.02)
    tint *= 1 + red[:, None] * (np.array((1.0, 0.92, 0.91)) - 1)
    # What lies well under cloth need not be drawn, and cannot come through.
    shows = covered < 0.03
    part = tailor.part.copy()
    on_ear = makehuman.painted("ears") > 0.3
    part[on_ear] = np.where(x > 0, _PART["left_ear"], _PART["right_ear"])[on_ear]
    head = tailor.of("head")
    shod = outfit.shoes != "sandals"
    feet = tailor.of("left_foot", "right_foot")
    tailor.cut("body", "face", _Place(x, y), part=part, tint=tint, within=head)
    tailor.cut("body", "skin", part=part, tint=tint, within=shows & ~head & ~(feet & shod))
    for letter in "lr":
        eye = f"helper-{letter}-eye"
        middle = tailor.points[np.unique(tailor.mesh.triangles[eye])].mean(0)
        x, y, _ = (tailor.points - middle).T
        tailor.cut(eye, "eye", _Place(x, y), part="head")


def _hair(tailor, outfit):
    if outfit.hair == "bald":
        return
    x, y, z = tailor.head.T
    side = np.abs(np.arctan2(x, z + 0.01))
    # Above the forehead, down before the ears, behind them to the nape.
    line = np.interp(side, (0.0, 0.55, 0.95, 1.25, 1.5, 1.75, 2.2, 3.2),
                     (0.142, 0.134, 0.105, 0.050, 0.066, 0.045, -0.01, -0.035))
    above = y - line + 0.004 * np.sin(37 * np.arctan2(x, z + 0.01)) * np.sin(300 * x + 1)
    above = np.where(makehuman.painted("ears") > 0.05, -0.01, above)
    thick = {"short": 0.010, "curls": 0.038}.get(outfit.hair, 0.014)
    off = thick * np.clip((above + 0.004) / 0.035, 0.15, 1)
    if outfit.hair == "curls":
        off = off * (1 + 0.25 * np.sin(90 * x) * np.sin(90 * y + 1) * np.sin(90 * z))
    head = tailor.of("head", "neck")
    tailor.cut("body", "strands", _Place(np.arctan2(x, z + 0.01), y, 1.0), off=off,
               keep=np.where(head, above, -1.0), part="scalp", within=head)


def _top_ends(tailor, outfit, neck):
    """Where the top is: positive inside, by about metres."""
    v, side = tailor.height, np.abs(tailor.points[:, 0])
    ahead = tailor.points[:, 2] - tailor.rig.origins["neck"][2]
    deep = 0.08 if outfit.opening == "open" else 0.06 + outfit.neckline
    # A V before the chest, a collar around the neck; the shoulder beside them is covered.
    throat = np.maximum(np.where(ahead > 0, neck - deep + 1.2 * side, neck - 0.005) - v,
                        np.hypot(side, 0.7 * np.minimum(ahead, 0)) - 0.068 - 0.15 * outfit.neckline)
    keep = np.where(tailor.of(*_TRUNK), np.minimum(throat, v - min(outfit.hem, 0.06)), -1.0)
    end = _SLEEVE_ENDS.get(outfit.sleeve)
    for side in SIDES:
        t, _ = tailor.limb(side, "upper_arm", "forearm")
        arm = tailor.arm(side)
        if end is None:
            # A vest ends on the shoulder.
            shoulder = 0.145 - np.abs(tailor.points[:, 0])
            keep = np.where(arm, -1.0, np.minimum(keep, np.where(
                tailor.height > 0.6 * neck, shoulder, 1.0)))
        else:
            keep = np.where(arm, (end - t) * 0.3, keep)
    return keep


def _top(tailor, outfit, keep):
    cloth = 0.006 + outfit.looseness
    v = tailor.height
    hang = np.clip(1 - v / 0.3, 0, 1)
    off = cloth + 0.7 * outfit.drape * hang
    around = _Place(tailor.around, v, whole_turns(outfit.top, 0.13))
    trunk, tights = tailor.of(*_TRUNK), tailor.mesh.triangles["helper-tights"]
    loose = _relaxed(tailor.points, tights[trunk[tights].all(1)], 6)
    tailor.cut("helper-tights", "torso", around, off=off, keep=keep, points=loose, within=trunk)
    turn = whole_turns(outfit.top, 0.045)
    for side in SIDES:
        t, angle = tailor.limb(side, "upper_arm", "forearm")
        length = tailor.rig.lengths[f"{side}_upper_arm"]
        wide = _SLEEVE_ENDS.get(outfit.sleeve, 1.0)  # of a vest no sleeve is kept
        off = cloth + (0.4 * outfit.drape + 0.5 * outfit.looseness) * np.clip(t / wide, 0, 1)
        tailor.cut("helper-tights", "top", _Place(angle, t * length, turn), off=off, keep=keep,
                   points=loose, within=tailor.arm(side))
    if outfit.hem < 0.06 or outfit.bottom_cut == "dress":
        hem = -0.84 * outfit.bottom_length if outfit.bottom_cut == "dress" else outfit.hem
        off = cloth + 0.004 + (0.7 + 0.3 * (hem < -0.2)) * outfit.drape * hang
        tailor.cut("helper-skirt", "torso", around, off=off, keep=np.minimum(v - hem, 0.10 - v))


def _bottom_ends(tailor, outfit):
    """Where trousers are; a skirt or dress hides little of the legs in it."""
    if outfit.bottom_cut in ("skirt", "dress"):
        return np.full(len(tailor.points), -1.0)
    end = outfit.bottom_length * 2
    keep = np.where(tailor.of("pelvis", "waist"), 0.105 - tailor.height, -1.0)
    for side in SIDES:
        t, _ = tailor.limb(side, "thigh", "shin")
        keep = np.where(tailor.leg(side), (end - t) * 0.4, keep)
    return keep


def _bottom(tailor, outfit, keep):
    cloth = {"leggings": 0.003, "wide": outfit.looseness + 0.004}.get(
        outfit.bottom_cut, 0.6 * outfit.looseness + 0.003)
    v = tailor.height
    if outfit.bottom_cut == "skirt":
        length = 0.84 * outfit.bottom_length
        off = cloth + 0.004 + outfit.flare * np.clip(-v / 0.6, 0, 1)
        tailor.cut("helper-skirt", "bottom",
                   _Place(tailor.around, -v, whole_turns(outfit.bottom, 0.13)), off=off,
                   keep=np.minimum(v + length, 0.105 - v))
        return
    if outfit.bottom_cut == "dress":
        return
    tailor.cut("helper-tights", "torso", _Place(tailor.around, v, whole_turns(outfit.top, 0.13)),
               off=cloth, keep=keep, within=tailor.of("pelvis", "waist"))
    wide = {"trousers": 0.010, "wide": 0.03, "shorts": 0.015}.get(outfit.bottom_cut, 0.0)
    for side in SIDES:
        t, angle = tailor.limb(side, "thigh", "shin")
        off = cloth + wide * np.clip(t / (2 * outfit.bottom_length), 0, 1)
        place = _Place(angle, t * tailor.rig.lengths[f"{side}_thigh"],
                       whole_turns(outfit.bottom, 0.075))
        tailor.cut("helper-tights", "bottom", place, off=off, keep=keep, within=tailor.leg(side))


def _shoes(tailor, outfit):
    for side in SIDES:
        foot = tailor.of(f"{side}_foot", f"{side}_shin")
        local = (tailor.points - tailor.rig.origins[f"{side}_foot"]) @ tailor.rig.axes[f"{side}_foot"].T
        bottom = local[tailor.of(f"{side}_foot")].min(0)
        ahead = (local[:, 2] - bottom[2]) / np.ptp(local[tailor.of(f"{side}_foot"), 2])
        up = local[:, 1] - bottom[1]
        angle = np.pi * np.clip(1 - up / 0.05, 0, 1)
        t, _ = tailor.limb(side, "thigh", "shin")
        keep = {"boots": (t - 1.5) * 0.4, "sandals": np.minimum(np.maximum(
            0.012 - up, 0.09 - np.abs(ahead - 0.5)), 0.09 - up)}.get(outfit.shoes, 0.075 - up)
        place = _Place(angle, np.where(up < 0.11, np.clip(ahead, 0, 1), 2 + t))
        tailor.cut("helper-tights", "shoe", place, off=0.008 + 0.006 * (up < 0.012),
                   keep=np.where(foot, keep, -1.0), within=foot, part=f"{side}_foot")
        if outfit.shoes in ("sneakers", "shoes"):
            tailor.cut("helper-tights", "sock", off=0.002,
                       keep=np.where(foot, (t - 1.8) * 0.4, -1.0), within=foot)


def _relaxed(points, triangles: Int[np.ndarray, "n 3"], rounds: int):
    """The points pulled to the mean of their neighbours, but only outwards: cloth spans hollows."""
    ends = triangles.ravel(), triangles[:, (1, 2, 0)].ravel()
    here, there = np.concatenate(ends), np.concatenate(ends[::-1])
    count = np.maximum(np.bincount(here, minlength=len(points)), 1)[:, None]
    outward = normals(points, triangles)
    edge = np.bincount(here, minlength=len(points)) == 0
    found = points.copy()
    for _ in range(rounds):
        mean = np.stack([np.bincount(here, found[there, axis], len(points))
                         for axis in range(3)], 1) / count
        by = ((mean - found) * outward).sum(1, keepdims=True)
        found = np.where(edge[:, None], found, found + np.maximum(by, 0) * outward)
    return found
