"""Draws a pose as coloured limbs, for people to look at (networks see `maps.py`)."""

from __future__ import annotations

import colorsys

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from repose_jax.pose.skeleton import Skeleton

_OVERSAMPLE = 4  # Pillow draws without antialiasing
_THICKNESS = 1 / 40  # of the picture's shorter side


def limb_colors(skeleton: Skeleton) -> UInt8[np.ndarray, "limbs 3"]:
    """A hue for each limb, all different."""
    count = len(skeleton.limbs)
    hues = [colorsys.hsv_to_rgb(i / count, 0.9, 1.0) for i in range(count)]
    return np.round(255 * np.array(hues)).astype(np.uint8)


def draw_skeleton(
    image: UInt8[np.ndarray, "height width 3"],
    pose: Float[np.ndarray, "joints 3"],
    skeleton: Skeleton,
    *,
    upscale: int = 1,
) -> UInt8[np.ndarray, "height_out width_out 3"]:
    """Draws the known limbs and joints over a picture.

    Args:
      image: the ground, left as it is; zeros for the pose alone.
      pose: x, y in pixels of `image` and visibility; unknown joints and their limbs are left out.
      skeleton: of the pose.
      upscale: whole factor on the picture, so that 128 x 64 can be seen; lines grow with it.

    Returns:
      A new picture of upscale times the size.

    Raises:
      ValueError: for a pose of another skeleton.
    """
    pose = np.asarray(pose, np.float64)
    if pose.shape != (len(skeleton), 3):
        raise ValueError(f"a pose of shape {pose.shape} for {skeleton.name}")
    width, height = image.shape[1] * upscale, image.shape[0] * upscale
    ground = Image.fromarray(image)
    if upscale != 1:
        ground = ground.resize((width, height), Image.Resampling.BICUBIC)
    known = (pose[:, 2] > 0) & np.isfinite(pose).all(1)
    # Far outside, Pillow's integers would overflow; the line's direction hardly changes.
    reach = 16 * max(image.shape[:2])
    points = (np.clip(pose[:, :2], -reach, reach) + 0.5) * upscale * _OVERSAMPLE - 0.5
    radius = max(0.75, _THICKNESS * min(width, height)) * _OVERSAMPLE / 2

    layer = Image.new("RGBA", (width * _OVERSAMPLE, height * _OVERSAMPLE))
    pen = ImageDraw.Draw(layer)

    def disc(centre, r, color):
        x, y = centre
        pen.ellipse((x - r, y - r, x + r, y + r), fill=color)

    for (a, b), color in zip(skeleton.limb_indices, limb_colors(skeleton)):
        if known[a] and known[b]:
            color = (*color.tolist(), 255)
            pen.line((*points[a], *points[b]), fill=color, width=max(1, round(2 * radius)))
            disc(points[a], radius, color)
            disc(points[b], radius, color)
    for point in points[known]:
        disc(point, 1.2 * radius, (255, 255, 255, 255))
    layer = layer.resize((width, height), Image.Resampling.BOX)
    return np.array(Image.alpha_composite(ground.convert("RGBA"), layer).convert("RGB"))
