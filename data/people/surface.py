"""The colour of a point of the person, from its material, its place on it and the light."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from repose_jax.data.people import portrait
from repose_jax.data.people.face import bearded, face_colours
from repose_jax.data.people.figure import MATERIALS, Figure
from repose_jax.data.people.garments import Outfit, emblem_mask, paint
from repose_jax.data.people.raycast import Hits
from repose_jax.data.people.scene import Light

(_SKIN, _HEAD, _HAIR, _TORSO, _YOKE, _TOP, _BOTTOM, _SHOE, _BAG, _HAT, _SOCK, _FACE,
 _EYE, _STRANDS) = range(len(MATERIALS))


def colour_material(outfit: Outfit, material: Int[np.ndarray, "points"],
                    u: Float[np.ndarray, "points"], v: Float[np.ndarray, "points"],
                    angle: Float[np.ndarray, "points"], neck: float) -> Float[np.ndarray, "points 3"]:
    """Colours in [0, 1] before lighting.

    Args:
      outfit: colours and patterns.
      material: numbers into `MATERIALS`.
      u, v: place on the garment, around and along it, metres.
      angle: around the limb or the head from the front, radians.
      neck: v of the trunk at the base of the neck, metres.
    """
    colours = np.empty((len(v), 3), np.float32)
    for number, paint_material in _PAINTERS.items():
        chosen = np.flatnonzero(material == number)
        if len(chosen):
            colours[chosen] = paint_material(
                outfit, u[chosen], v[chosen], angle[chosen], neck)
    return colours


def surface_place(figure: Figure, hits: Hits) -> tuple[
        Float[np.ndarray, "hits"], Float[np.ndarray, "hits"]]:
    """u and v of points of the surface, around and along their garment, metres."""
    texture = figure.texture.astype(np.float32)[hits.cone]
    return (texture[:, 3] + texture[:, 2] * hits.angle,
            texture[:, 0] + (texture[:, 1] - texture[:, 0]) * hits.along)


def _flat(name):
    return lambda outfit, u, v, angle, neck: np.asarray(getattr(outfit, name), np.float32)


def _paint_hair(outfit, u, v, angle, neck):
    strands = 1 + 0.14 * np.sin(angle * 23 + v * 14)
    return np.asarray(outfit.hair_colour, np.float32) * strands[:, None]


def _paint_strands(outfit, u, v, angle, neck):
    fine = 1 + 0.07 * np.sin(angle * 41 + 9 * np.sin(v * 31)) + 0.06 * np.sin(angle * 97 - v * 40) + (
        0.05 * np.sin(angle * 13 + v * 55))
    return np.asarray(outfit.hair_colour, np.float32) * fine[:, None]


def _paint_torso(outfit, u, v, angle, neck):
    colours = np.array(paint(outfit.top, u, v))
    front = np.abs(u)
    if outfit.opening == "open":
        gap = 0.035 + 0.02 * (neck - v) / 0.5
        colours[front < gap] = outfit.inner
        colours[np.abs(front - gap) < 0.008] *= 0.7
    elif outfit.opening == "buttons":
        colours[front < 0.014] *= 0.88
        colours[front * front + ((v % 0.07) - 0.035) ** 2 < 9e-5] = outfit.belt
    elif outfit.opening == "zip":
        colours[front < 0.009] = outfit.sole
    if outfit.emblem:
        colours[emblem_mask(outfit.emblem, u / 0.075, (v - neck + 0.21) / 0.075)] = outfit.inner
    if outfit.opening == "open":
        colours[v > neck - 0.08 + 1.2 * front] = outfit.skin
    else:
        colours[v > neck - 0.06 - outfit.neckline + 1.2 * front] = outfit.skin
    if outfit.bag == "backpack":
        colours[(np.abs(front - 0.095) < 0.018) & (v > neck - 0.34)] = outfit.bag_colour
    elif outfit.bag == "shoulder_bag":
        line = 0.11 - 0.26 * (neck - v) / 0.45
        colours[np.abs(np.where(front < 0.205, u, np.sign(u) * 0.41 - u) - line) < 0.016] = (
            outfit.bag_colour)
    if outfit.bottom_cut != "dress":
        lower = v < min(outfit.hem, 0.10) if outfit.hem >= 0.05 else v < outfit.hem - 1e-3
        colours[lower] = paint(outfit.bottom, u[lower], -v[lower])
        if outfit.hem >= 0.05:
            colours[lower & (v > outfit.hem - 0.03)] = outfit.belt
    return colours


def _paint_yoke(outfit, u, v, angle, neck):
    # Here v is the distance to the side and the angle turns from the front up to the shoulder.
    front = np.cos(angle)
    colours = np.array(paint(outfit.top, v, neck - 0.04 * (1 - np.abs(np.sin(angle)))))
    if outfit.bag == "backpack":
        colours[np.abs(v - 0.095) < 0.018] = outfit.bag_colour
    bare = 0.052 + np.where(front > 0, 0.4 * outfit.neckline, 0) * front
    if outfit.sleeve == "none":
        colours[v > 0.13] = outfit.skin
    colours[v < bare] = outfit.skin
    return colours


def _paint_head(outfit, u, v, angle, neck):
    side = np.abs(angle)
    colours = (face_colours if outfit.lifelike else _drawn_face)(outfit, angle, v)
    if outfit.glasses:
        ring = ((side - 0.37) / 0.26) ** 2 + ((v - 0.070) / 0.019) ** 2
        colours[(ring < 1.25) & (ring > 0.72)] = 0.05
        colours[(np.abs(v - 0.075) < 0.004) & ((side < 0.14) | ((side > 0.6) & (side < 1.6)))] = (
            0.05)
    if outfit.hair == "bald":
        return colours
    hairline = 0.132 - 0.055 * np.clip(side - 0.55, 0, 1.0) - 0.11 * np.clip(side - 1.25, 0, 0.6)
    colours[v > hairline] = np.asarray(outfit.hair_colour, np.float32)
    return colours


def _drawn_face(outfit, angle, v):
    """A face of flat shapes, as of a doll."""
    skin, hair = np.asarray(outfit.skin, np.float32), np.asarray(outfit.hair_colour, np.float32)
    side = np.abs(angle)
    colours = np.broadcast_to(skin, (len(v), 3)).copy()
    cheeks = (side - 0.55) ** 2 / 0.09 + (v - 0.035) ** 2 / 6e-4 < 1
    colours[cheeks] *= (1.0, 0.93, 0.92)
    if outfit.beard:
        colours[bearded(side, v)] = hair
    mouth = (side < 0.30) & (np.abs(v - 0.014) < 0.0055)
    colours[mouth] = skin * (0.72, 0.45, 0.45)
    white = ((side - 0.37) / 0.17) ** 2 + ((v - 0.070) / 0.0095) ** 2 < 1
    colours[white] = 0.93
    colours[((side - 0.37) / 0.085) ** 2 + ((v - 0.070) / 0.0085) ** 2 < 1] = 0.08
    brow = (np.abs(side - 0.38) < 0.22) & (np.abs(v - 0.091 + 0.012 * (side - 0.38) ** 2) < 0.0045)
    colours[brow] = hair * 0.8
    return colours


def _paint_shoe(outfit, u, v, angle, neck):
    # The axis runs from heel (v = 0) to toe (1), the angle starts from the instep: the sole is at
    # pi. A boot's shaft has v > 2.
    if outfit.shoes == "sandals":
        colours = np.broadcast_to(np.asarray(outfit.skin, np.float32), (len(v), 3)).copy()
        colours[(v > 0.42) & (v < 0.58)] = outfit.shoe
    else:
        colours = np.broadcast_to(np.asarray(outfit.shoe, np.float32), (len(v), 3)).copy()
    colours[(np.abs(angle) > 2.0) & (v < 1.5)] = outfit.sole
    if outfit.shoes == "sneakers":
        colours[(np.abs(angle) < 0.7) & (v > 0.35) & (v % 0.14 < 0.06)] = outfit.sole
    return colours


_PAINTERS = {
    _SKIN: _flat("skin"), _HEAD: _paint_head, _HAIR: _paint_hair,
    _TORSO: _paint_torso, _YOKE: _paint_yoke,
    _TOP: lambda outfit, u, v, angle, neck: paint(outfit.top, u, -v),
    _BOTTOM: lambda outfit, u, v, angle, neck: paint(outfit.bottom, u, v),
    _SHOE: _paint_shoe, _BAG: _flat("bag_colour"), _HAT: _flat("hat_colour"),
    _SOCK: _flat("sock"), _FACE: lambda outfit, u, v, angle, neck: portrait.face_colours(outfit, u, v),
    _STRANDS: _paint_strands,
    _EYE: lambda outfit, u, v, angle, neck: portrait.eye_colours(outfit, u, v)}

_GLOSS = np.zeros(len(MATERIALS), np.float32)
_GLOSS[[_SKIN, _HEAD, _HAIR, _SHOE, _BAG, _FACE, _EYE, _STRANDS]] = (
    0.06, 0.06, 0.14, 0.12, 0.08, 0.06, 0.3, 0.12)


def light_surface(colours: Float[np.ndarray, "hits 3"], normal: Float[np.ndarray, "hits 3"],
                  material: np.ndarray, light: Light) -> Float[np.ndarray, "hits 3"]:
    """Shades colours: sky from above, sun on one side, a soft gloss, a darker rim."""
    direction = np.asarray(light.direction, np.float32)
    sun = normal @ direction
    # Half of the light wraps around the body: skin and cloth have no hard terminator.
    sun = np.maximum(0.65 * sun + 0.35, 0) * np.float32(light.sun)
    sky = np.float32(light.sky) * (0.82 - 0.18 * normal[:, 1]) * (0.72 + 0.28 * normal[:, 2])
    half = direction + np.array((0, 0, 1), np.float32)
    gloss = np.maximum(normal @ (half / np.linalg.norm(half)), 0) ** 16 * _GLOSS[material]
    shaded = colours * (sun[:, None] * np.asarray(light.colour, np.float32) + sky[:, None])
    return shaded + (gloss * np.float32(light.sun))[:, None]
