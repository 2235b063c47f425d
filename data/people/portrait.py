"""The colours of a face and its eyes on MakeHuman's mesh.

u and v are metres to the person's left and up from the head's joint, whose eyes are `EYE_HEIGHT` above;
of an eye, from its middle.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from repose_jax.data.people.garments import Outfit

EYE_HEIGHT = 0.072
_EYE_APART, _IRIS = 0.032, 0.0062
_WHITE, _DARK = np.array((0.80, 0.77, 0.75), np.float32), np.array((0.04, 0.03, 0.03), np.float32)
_BROWN, _LIGHT = np.array((0.22, 0.13, 0.08), np.float32), np.array((0.33, 0.42, 0.47), np.float32)


def face_colours(outfit: Outfit, u: Float[np.ndarray, "points"],
                 v: Float[np.ndarray, "points"]) -> Float[np.ndarray, "points 3"]:
    """Skin with brows, beard and glasses, in [0, 1]."""
    skin, hair = (np.asarray(colour, np.float32) for colour in (outfit.skin, outfit.hair_colour))
    colours = np.broadcast_to(skin, (len(v), 3)).copy()
    side, above = np.abs(u), v - EYE_HEIGHT
    arch = 0.019 + 0.006 * (1 - ((side - 0.038) / 0.024) ** 2)
    thick = 0.0036 * np.clip((0.062 - side) / 0.03, 0.2, 1)
    brow = np.exp(-((above - arch) / thick) ** 2) * _within(side - 0.013, 0.002) * _within(
        0.056 - side, 0.003)
    colours += (0.8 * brow)[:, None] * (hair * 0.6 - colours)
    if outfit.beard:
        # Over the lip, down from the ears along the jaw, the chin; the lips stay free.
        lip = np.exp(-((v - 0.031) / 0.004) ** 2) * (side < 0.026)
        jaw = _within(0.028 + 0.9 * np.clip(side - 0.03, 0, 1) - v, 0.003) * (
            ((side / 0.026) ** 2 + ((v - 0.017) / 0.010) ** 2) > 1) * _within(v + 0.055, 0.006)
        colours += (0.75 * np.maximum(lip, jaw))[:, None] * (hair * 0.8 - colours)
    if outfit.glasses:
        ring = ((side - _EYE_APART) / 0.025) ** 2 + ((above + 0.002) / 0.020) ** 2
        colours[(ring < 1.2) & (ring > 0.82)] = 0.05
        colours[(np.abs(above - 0.004) < 0.002) & ((side < 0.008) | (side > 0.057))] = 0.05
    return colours


def eye_colours(outfit: Outfit, u: Float[np.ndarray, "points"],
                v: Float[np.ndarray, "points"]) -> Float[np.ndarray, "points 3"]:
    """White, iris and pupil; who has light hair has light eyes."""
    iris = _LIGHT if sum(outfit.hair_colour) > 1.4 else _BROWN
    away = np.hypot(u, v) / _IRIS
    colours = np.broadcast_to(_WHITE, (len(v), 3)).copy()
    for share, colour in ((_within(1 - away, 0.08), iris), (_within(0.45 - away, 0.08), _DARK)):
        colours += share[:, None] * (colour - colours)
    return colours * (1 - 0.35 * _within(v - 0.003, 0.002))[:, None]


def _within(x, edge):
    """From 0 to 1 around 0."""
    return 1 / (1 + np.exp(-np.clip(x / edge, -30, 30)))
