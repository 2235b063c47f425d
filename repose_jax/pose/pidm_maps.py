"""The pose maps that PIDM's weights were trained on, drawn on the device.

PIDM draws a pose with OpenCV: a coloured skeleton of 3 channels, joints as discs and limbs as
ellipses blended over what lies below, and for each of 17 limbs the city-block distance to its
ellipse, in steps of 3 pixels. Here the same is computed from closed forms. Discs, blending and
distances follow OpenCV's integers; an ellipse is filled by its equation, where OpenCV fills a
polygon of whole-numbered corners, so that pixels on its rim may differ.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from repose_jax.pose.cells import grid
from repose_jax.pose.skeleton import OPENPOSE18

CHANNELS = 20
"""3 of the drawn skeleton and one for each limb."""

_RADIUS, _HALF_WIDTH = 4, 4  # pixels, whatever the picture's size
# Of discs of radius 4 as OpenCV fills them: how far each row from the middle one reaches.
_REACH = (4, 3, 3, 2, 0)
_RIM = 0.65  # pixels by which a polygon with its rim drawn is larger than its ellipse
_LIMBS = np.array([[OPENPOSE18.index(joint) for joint in limb] for limb in (
    ("neck", "right_shoulder"), ("neck", "left_shoulder"),
    ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
    ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
    ("neck", "right_hip"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
    ("neck", "left_hip"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
    ("neck", "nose"), ("nose", "right_eye"), ("right_eye", "right_ear"),
    ("nose", "left_eye"), ("left_eye", "left_ear"))])


def _colours() -> np.ndarray:
    """One for each joint, blue, green, red: the rainbow in steps of a third of a primary colour."""
    rising = [0, 85, 170]
    up = [(255, level, 0) for level in rising] + [(255 - level, 255, 0) for level in rising]
    across = [(0, 255, level) for level in rising] + [(0, 255 - level, 255) for level in rising]
    back = [(level, 0, 255) for level in rising] + [(255, 0, 255 - level) for level in rising]
    return np.array(up + across + back, np.float32)[:, ::-1]


def pidm_maps(
    pose: Float[Array, "batch joints 3"], image_size: tuple[int, int]
) -> Float[Array, "batch height width 20"]:
    """Draws poses as PIDM does.

    Args:
      pose: of `OPENPOSE18`, pixels of a picture of `image_size`; whatever has a visibility above 0
        is drawn.
      image_size: (height, width) of picture and maps.

    Returns:
      Values in [0, 1], multiples of 1/255: red, green and blue of the skeleton, black where there
      is none, then the distances to the limbs, 1 throughout for a limb that is not visible.
    """
    return jax.vmap(lambda one: _maps(one, image_size))(pose)


def _maps(pose, image_size):
    points = grid(image_size, image_size)
    colours = jnp.asarray(_colours())
    place, visible = jnp.trunc(pose[:, :2]), pose[:, 2] > 0

    canvas = jnp.zeros((*image_size, 3))
    for joint in range(len(OPENPOSE18)):
        inside = _disc(points, place[joint]) & visible[joint]
        canvas = jnp.where(inside[..., None], colours[joint], canvas)

    distances = []
    for limb, (a, b) in enumerate(_LIMBS):
        inside = _ellipse(points, pose[a, :2], pose[b, :2]) & visible[a] & visible[b]
        blended = jnp.round(0.4 * canvas + 0.6 * colours[limb])
        canvas = jnp.where(inside[..., None], blended, canvas)
        distances.append(jnp.floor(jnp.minimum(_city_block(inside) / 3, 255)))
    return jnp.concatenate([canvas, jnp.stack(distances, -1)], -1) / 255


def _disc(points: Float[Array, "h w 2"], centre: Float[Array, "2"]) -> Bool[Array, "h w"]:
    away = jnp.abs(points - centre)
    row = away[..., 1].astype(jnp.int32)
    reach = jnp.asarray(_REACH)[jnp.minimum(row, _RADIUS)]
    return (row <= _RADIUS) & (away[..., 0] <= reach)


def _ellipse(
    points: Float[Array, "h w 2"], start: Float[Array, "2"], end: Float[Array, "2"]
) -> Bool[Array, "h w"]:
    """The ellipse of a limb: its centre, half length and angle are cut to whole numbers."""
    along = start - end
    centre = jnp.trunc((start + end) / 2)
    degrees = jnp.trunc(jnp.degrees(jnp.arctan2(along[1], along[0])))
    angle = jnp.radians(degrees)
    half = jnp.trunc(jnp.linalg.norm(along) / 2)
    offset = points - centre
    u = offset[..., 0] * jnp.cos(angle) + offset[..., 1] * jnp.sin(angle)
    v = offset[..., 1] * jnp.cos(angle) - offset[..., 0] * jnp.sin(angle)
    return (u / (half + _RIM)) ** 2 + (v / (_HALF_WIDTH + _RIM)) ** 2 <= 1


def _city_block(inside: Bool[Array, "h w"]) -> Float[Array, "h w"]:
    """|dx| + |dy| to the nearest cell inside; 1e6 and more where there is none."""
    distance = jnp.where(inside, 0.0, 1e6)
    for axis in (0, 1):
        shape = [1, 1]
        shape[axis] = distance.shape[axis]
        i = jnp.arange(distance.shape[axis], dtype=jnp.float32).reshape(shape)
        before = jax.lax.cummin(distance - i, axis=axis) + i
        after = jax.lax.cummin(distance + i, axis=axis, reverse=True) - i
        distance = jnp.minimum(before, after)
    return distance
