"""Cloth as photos show it: folds that catch the light, and prints of more than two colours.

A fold is a slope of the surface, not a change of its outline: normals turn, and light does the rest.
Folds lie in the garment's own coordinates and are new in each picture, as cloth falls anew in each
pose. What is loose stands off the body, so that the outline is the garment's.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from repose_jax.data.people.figure import MATERIALS
from repose_jax.data.people.garments import Outfit, Pattern, sample_colour

PRINTS = ("painted", "camouflage", "letters")
"""Kinds of pattern beside `garments.PATTERNS`."""

_CLOTH = np.isin(MATERIALS, ("torso", "yoke", "top", "bottom"))
_WAVES = 7
# Wavelengths of folds in metres, the longest and the shortest.
_LONGEST, _SHORTEST = 0.22, 0.05


def is_cloth(material: Int[np.ndarray, "points"]) -> Bool[np.ndarray, "points"]:
    """Which of these numbers into `MATERIALS` are cloth."""
    return _CLOTH[material]


def crease(normal: Float32[np.ndarray, "points 3"], axis: Float32[np.ndarray, "points 3"],
           material: Int[np.ndarray, "points"], u: Float[np.ndarray, "points"],
           v: Float[np.ndarray, "points"], seed: int) -> tuple[
        Float[np.ndarray, "points 3"], Float[np.ndarray, "points"]]:
    """Normals of creased cloth, and how bright it is between the folds.

    Args:
      normal: unit normals on the screen.
      axis: unit directions on the screen in which v grows.
      material: numbers into `MATERIALS`.
      u, v: place on the garment, metres.
      seed: of the folds.

    Returns:
      Unit normals, as given where there is no cloth, and factors on the colour: what lies deep in a
      fold gets less light.
    """
    normal, shade = normal.copy(), np.ones(len(normal), np.float32)
    chosen = np.flatnonzero(is_cloth(material))
    height, along_u, along_v = _folds(u[chosen], v[chosen], seed)
    axis = axis[chosen]
    around = np.cross(axis, normal[chosen])
    bent = normal[chosen] - along_u[:, None] * around - along_v[:, None] * axis
    bent /= np.linalg.norm(bent, axis=1, keepdims=True)
    bent[:, 2] = np.abs(bent[:, 2])  # what is seen faces the viewer
    normal[chosen], shade[chosen] = bent, 1 + 0.12 * np.clip(height, -1.5, 0.5)
    return normal, shade


def _folds(u: np.ndarray, v: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Height in units of its deviation, and its slopes along u and v: waves, deep here, flat there."""
    rng = np.random.default_rng(seed)
    steep = rng.uniform(0.1, 0.45) * np.sqrt(2 / _WAVES)
    height, along_u, along_v = (np.zeros(len(u), np.float32) for _ in range(3))
    for _ in range(_WAVES):
        length = np.exp(rng.uniform(np.log(_SHORTEST), np.log(_LONGEST)))
        angle, phase, where = rng.uniform(0, np.pi), *rng.uniform(0, 2 * np.pi, 2)
        across, down = np.cos(angle) / length, np.sin(angle) / length
        # Folds are where something pulls: each wave fades in and out within some of its lengths.
        deep = 0.5 + 0.5 * np.sin(2 * np.pi * (down * u - across * v) / 3 + where, dtype=np.float32)
        at = (2 * np.pi * (across * u + down * v) + phase).astype(np.float32)
        # A ridge is narrower than the valley beside it.
        at = at + 0.6 * np.cos(at)
        height += deep * np.sin(at)
        slope = np.float32(steep * length) * deep * np.cos(at)
        along_u += slope * np.float32(across)
        along_v += slope * np.float32(down)
    return height * np.float32(np.sqrt(2 / _WAVES)), along_u, along_v


def in_print(outfit: Outfit, rng: np.random.Generator) -> Outfit:
    """The outfit, in half of all cases with another print on its top, in a sixth on its bottom."""
    top, bottom = rng.random() < 0.5, rng.random() < 1 / 6
    prints = [_sample_print(rng) for _ in range(2)]
    if outfit.bottom_cut == "dress":
        return dataclasses.replace(outfit, top=prints[0], bottom=prints[0]) if top else outfit
    return dataclasses.replace(outfit, top=prints[0] if top else outfit.top,
                               bottom=prints[1] if bottom else outfit.bottom)


def loosened(outfit: Outfit, rng: np.random.Generator) -> Outfit:
    """The outfit, in half of all cases with a wide top or skirt; long hair in half of them before the
    shoulders. Who wears something wide over trousers does not tuck it in."""
    wide, falls = rng.random(2) < 0.5
    drape, flare, locks, hem, length = rng.random(5)
    looser = dataclasses.replace(
        outfit, locks=0.08 + 0.22 * locks if falls and outfit.hair == "long" else 0.0)
    if not wide:
        return looser
    looser = dataclasses.replace(looser, drape=0.015 + 0.06 * drape, flare=0.15 * flare)
    if outfit.bottom_cut == "skirt":
        return looser
    if outfit.bottom_cut == "dress":
        return dataclasses.replace(looser, bottom_length=0.3 + 0.3 * length)
    return dataclasses.replace(looser, hem=-0.02 - 0.14 * hem)


def _sample_print(rng: np.random.Generator) -> Pattern:
    kind = PRINTS[int(rng.choice(len(PRINTS), p=(0.5, 0.3, 0.2)))]
    return Pattern(kind=kind, colours=tuple(sample_colour(rng, 0.3) for _ in range(3)),
                   period=float(rng.uniform(0.12, 0.4)), phase=float(rng.random()))
