"""One change of colours, the same for every picture it is applied to."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

_LUMA = (0.299, 0.587, 0.114)
_HUE = 0.25  # of the strength, in turns, as in SimCLR (Chen et al. 2020)
_GREY = 127.5


def draw_color_map(strength: float, rng: np.random.Generator) -> Float[np.ndarray, "3 4"]:
    """A random change of brightness, contrast, saturation and hue.

    Contrast is about middle grey, not about the picture's mean, so that a colour becomes the same
    colour in source and target.

    Args:
      strength: the first three are factors of 1 - strength to 1 + strength; the hue turns by up
        to a quarter of it, in turns.

    Returns:
      The map of (r, g, b, 1), 0 to 255, to (r, g, b).
    """
    bright, contrast, saturation = 1 + strength * rng.uniform(-1, 1, 3)
    angle = 2 * np.pi * _HUE * strength * rng.uniform(-1, 1)
    # A turn about the axis of greys (Rodrigues).
    axis = np.full(3, 3 ** -0.5)
    cross = np.cross(np.eye(3), axis)
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    fade = saturation * np.eye(3) + (1 - saturation) * np.array(_LUMA)
    offset = np.full((3, 1), bright * (1 - contrast) * _GREY)
    return np.concatenate([bright * contrast * fade @ turn, offset], axis=1)


def recolored(
    image: UInt8[np.ndarray, "height width 3"], color_map: Float[np.ndarray, "3 4"]
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture with every colour mapped, cut off at 0 and 255."""
    matrix = color_map.astype(np.float32)
    return to_uint8(image.astype(np.float32) @ matrix[:, :3].T + matrix[:, 3])


def to_uint8(values: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Rounded to whole numbers, cut off at 0 and 255."""
    return np.rint(values.clip(0, 255)).astype(np.uint8)
