"""A face as photos have it, drawn on the head's cone: soft shades where `surface` has flat shapes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from repose_jax.data.people.garments import Outfit

_DARK, _WHITE = np.array((0.07, 0.05, 0.05)), np.array((0.84, 0.81, 0.78))
_BROWN, _LIGHT = np.array((0.22, 0.13, 0.08)), np.array((0.36, 0.44, 0.48))
# Angles around the head from the front, radians; heights above the head's joint, metres.
_EYE, _EYE_HEIGHT, _EYE_WIDTH = 0.37, 0.069, 0.155
_LIPS, _LIPS_HEIGHT = 0.28, 0.013


def face_colours(
    outfit: Outfit, angle: Float[np.ndarray, "points"], v: Float[np.ndarray, "points"]
) -> Float[np.ndarray, "points 3"]:
    """Colours of points of a face without hair and glasses, in [0, 1].

    Args:
      outfit: skin and hair; who has light hair has light eyes.
      angle: around the head from the front, radians.
      v: above the head's joint, metres.
    """
    skin, hair = (np.asarray(colour, np.float32) for colour in (outfit.skin, outfit.hair_colour))
    side = np.abs(angle)
    colours = np.broadcast_to(skin, (len(v), 3)).copy()

    def shade(share, factor):
        colours[:] *= 1 + share[:, None] * (np.asarray(factor, np.float32) - 1)

    def lay(share, colour):
        colours[:] += share[:, None] * (np.asarray(colour, np.float32) - colours)

    shade(_spot(side, v, _EYE, 0.076, 0.30, 0.017), (0.86, 0.82, 0.80))      # sockets
    shade(_spot(side, v, 0.62, 0.036, 0.28, 0.022), (1.0, 0.92, 0.91))       # cheeks
    shade(_spot(side, v, 0.14, 0.052, 0.07, 0.022), (0.93, 0.90, 0.89))      # beside the bridge
    shade(_spot(side, v, 0.0, 0.023, 0.16, 0.005), (0.88, 0.84, 0.82))       # below the nose
    shade(_spot(side, v, 0.0, -0.001, 0.22, 0.005), (0.90, 0.87, 0.86))      # below the lips
    lay(0.7 * _spot(side, v, 0.085, 0.029, 0.045, 0.003), skin * 0.35)       # nostrils

    if outfit.beard:
        lay(0.8 * bearded(side, v), hair * 0.9)
    across = np.clip(side / _LIPS, 0, 1)
    above = 0.0058 * (1 - across**2) * (1 - 0.25 * np.exp(-(side / 0.05) ** 2))
    below = 0.0075 * (1 - across**2)
    lips = _within(_LIPS_HEIGHT + above - v, 0.0008) * _within(v - _LIPS_HEIGHT + below, 0.0008) * (
        side < _LIPS)
    lay(0.85 * lips, skin * (0.80, 0.52, 0.52))
    lay(0.7 * np.exp(-((v - _LIPS_HEIGHT) / 0.0011) ** 2) * (side < _LIPS), skin * (0.42, 0.25, 0.25))

    out = (side - _EYE) / _EYE_WIDTH
    lid = np.sqrt(np.clip(1 - out**2, 0, 1))
    upper, lower = _EYE_HEIGHT + 0.0056 * lid, _EYE_HEIGHT - 0.0040 * lid
    opened = (np.abs(out) < 1) * _within(upper - v, 0.0006) * _within(v - lower, 0.0006)
    lay(opened, _WHITE)
    from_iris = np.hypot((side - _EYE) / 0.066, (v - _EYE_HEIGHT - 0.0008) / 0.0060)
    lay(opened * _within(1 - from_iris, 0.1), _LIGHT if hair.sum() > 1.4 else _BROWN)
    lay(opened * _within(0.45 - from_iris, 0.1), _DARK)
    lay(0.85 * (np.abs(out) < 1.08) * np.exp(-((v - upper) / 0.0014) ** 2), _DARK)     # lashes
    lay(0.25 * (np.abs(out) < 1) * np.exp(-((v - lower) / 0.0010) ** 2), _DARK)
    shade((np.abs(out) < 1.1) * np.exp(-((v - upper - 0.005) / 0.0014) ** 2), (0.84, 0.80, 0.79))

    brow = 0.0905 - 0.016 * (side - 0.36) ** 2 - 0.004 * np.clip(side - 0.45, 0, 1)
    lay(0.75 * (np.abs(side - 0.38) < 0.24) * np.exp(-((v - brow) / 0.0036) ** 2), hair * 0.7)
    return colours


def bearded(side: Float[np.ndarray, "points"], v: Float[np.ndarray, "points"]) -> np.ndarray:
    """Which points a beard covers, by the angle to the side of the front and the height."""
    return (v < 0.030) & (side < 1.5) & ((v < 0.012) | (side > 0.38) | (v > 0.022))


def _spot(side, v, at, height, wide, high):
    """1 at a place, falling off around it."""
    return np.exp(-((side - at) / wide) ** 2 - ((v - height) / high) ** 2)


def _within(x, edge):
    """From 0 to 1 around 0."""
    return 1 / (1 + np.exp(-np.clip(x / edge, -30, 30)))
