"""CIELAB: colours as far apart as people see them (CIE 15:2004; sRGB after IEC 61966-2-1, D65)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                    [0.0193339, 0.1191920, 0.9503041]])
_WHITE = np.array([0.95047, 1.0, 1.08883])
_EDGE = 6 / 29


def lab(color: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """L* in [0, 100], a* and b* of sRGB colours in [0, 1]."""
    color = np.asarray(color, np.float64)
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    t = linear @ _TO_XYZ.T / _WHITE
    f = np.where(t > _EDGE**3, np.cbrt(t), t / (3 * _EDGE**2) + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def color_difference(
    a: Float[np.ndarray, "*n 3"], b: Float[np.ndarray, "*n 3"]
) -> Float[np.ndarray, "*n"]:
    """Delta E*ab (CIE 1976) of sRGB colours in [0, 1]; from about 2 on people see a difference."""
    return np.linalg.norm(lab(a) - lab(b), axis=-1)
