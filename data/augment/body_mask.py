"""The mask of a whole person from the joints, generous enough to cut the person out."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw

from repose_jax.pose.person_mask import person_mask
from repose_jax.pose.skeleton import Skeleton

# In lengths of the trunk, from the middle of the shoulders to that of the hips; chosen by eye on
# rendered people and photos of pedestrians. At 128 x 64 a limb's radius is about PG2's larger, 7.
_RADIUS = 0.22
_HEAD_RADIUS, _HEAD_HEIGHT = 0.32, 0.4
_BEYOND = (("knee", "ankle", 0.2), ("elbow", "wrist", 0.25))  # feet and hands
_SHANK = 0.9
_OF_EXTENT = 0.25  # a trunk seen from its end is taken for this part of the whole pose
_FACE = ("nose", "right_eye", "left_eye", "right_ear", "left_ear")
_ROWS = 128  # about as many are drawn; finer, the mask would only take longer
_TO_HEAD_TOP = 0.6  # of the way from the shoulders to the top of the head: its middle


def body_mask(
    pose: Float[np.ndarray, "joints 3"], skeleton: Skeleton, size: tuple[int, int]
) -> Bool[np.ndarray, "height width"]:
    """Which pixels may belong to the person.

    The limbs are those of PG2's mask (`person_mask`), their thickness is that of the person; the
    trunk is filled, a head is set where none is known, hands, feet and shanks without a known ankle
    are added. Other parts whose joints are unknown, bags and wide clothes are cut off.

    Args:
      pose: x and y in pixels of a picture of `size`, visibility.
      skeleton: of the pose.
      size: (height, width).

    Returns:
      The mask; nothing where the shoulders or the hips are unknown, as the person cannot be cut
      out then.
    """
    step = max(1, round(size[0] / _ROWS))
    if step > 1:
        small = pose.astype(np.float64)
        small[:, :2] = (small[:, :2] + 0.5) / step - 0.5
        mask = body_mask(small, skeleton, (-(-size[0] // step), -(-size[1] // step)))
        return mask.repeat(step, axis=0).repeat(step, axis=1)[:size[0], :size[1]]
    known = pose[:, 2] > 0
    right_shoulder, left_shoulder, right_hip, left_hip = skeleton.torso_indices
    shoulders, hips = ([i for i in pair if known[i]] for pair in (
        (right_shoulder, left_shoulder), (right_hip, left_hip)))
    if not shoulders or not hips:
        return np.zeros(size, bool)
    xy = pose[:, :2].astype(np.float64)
    chest, seat = xy[shoulders].mean(0), xy[hips].mean(0)
    length = max(np.linalg.norm(chest - seat), _OF_EXTENT * np.ptp(xy[known], axis=0).max(), 1.0)
    radius = max(1, round(_RADIUS * length))

    layer = Image.new("1", size[::-1])
    pen = ImageDraw.Draw(layer)

    def disc(centre, r):
        (x, y), r = centre, float(r)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=1)

    pen.polygon([tuple(xy[i]) for i in (right_shoulder, left_shoulder, left_hip, right_hip)
                 if known[i]] + [tuple(chest)], fill=1)
    disc(_head(xy, known, skeleton, chest, seat, length), _HEAD_RADIUS * length)
    for side in ("right", "left"):
        for inner, outer, beyond in _BEYOND:
            a, b = skeleton.index(f"{side}_{inner}"), skeleton.index(f"{side}_{outer}")
            if known[a] and known[b]:
                along = (xy[b] - xy[a]) / max(np.linalg.norm(xy[b] - xy[a]), 1e-6)
                disc(xy[b] + beyond * length * along, radius)
        hip, knee, ankle = (skeleton.index(f"{side}_{j}") for j in ("hip", "knee", "ankle"))
        if known[hip] and known[knee] and not known[ankle]:
            # Mostly it is below the picture; the leg is taken to be straight.
            along = (xy[knee] - xy[hip]) / max(np.linalg.norm(xy[knee] - xy[hip]), 1e-6)
            pen.line([tuple(xy[knee]), tuple(xy[knee] + _SHANK * length * along)], fill=1,
                     width=2 * radius + 1)
    return np.asarray(layer) | person_mask(pose[None], skeleton, size, radius=radius)[0]


def _head(xy, known, skeleton: Skeleton, chest, seat, length: float):
    """The middle of the head, from what is known of it or else above the shoulders."""
    face = [skeleton.index(joint) for joint in _FACE
            if joint in skeleton.joints and known[skeleton.index(joint)]]
    if face:
        return xy[face].mean(0)
    if "head_top" in skeleton.joints and known[skeleton.index("head_top")]:
        return chest + _TO_HEAD_TOP * (xy[skeleton.index("head_top")] - chest)
    up = (chest - seat) / max(np.linalg.norm(chest - seat), 1e-6)
    return chest + _HEAD_HEIGHT * length * up
