"""Cuts the surroundings of a box out of a picture, and its pose along."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import UInt8

from repose_jax.data.image.resize import fit_pose, shifted
from repose_jax.pose.named_poses import NamedPose
from repose_jax.pose.people import Box

#: The rendered people take up so much less than the height of their pictures (the median of 150).
FILLING = 1.12


def framed(box: Box, size: tuple[int, int], margin: float) -> Box:
    """The box of a frame's aspect around a box.

    Args:
      box: what shall be in the frame.
      size: (height, width) of the frame.
      margin: the result is so many times as large as the box, and larger still along the side that
        the aspect asks it of.
    """
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    sides = np.array([box[2] - box[0], box[3] - box[1]]) * margin
    aspect = size[1] / size[0]
    sides = np.maximum(sides, [sides[1] * aspect, sides[0] / aspect])
    return tuple((centre - sides / 2).tolist() + (centre + sides / 2).tolist())


def cut_out(
    image: UInt8[np.ndarray, "height0 width0 3"], box: Box
) -> tuple[UInt8[np.ndarray, "height width 3"], tuple[int, int]]:
    """The pixels in a box; those outside of the picture have the colours of its edge.

    Returns:
      The cut-out, of at least one pixel, and the place (x, y) of its first pixel in the picture.
    """
    left, top = (int(np.floor(edge)) for edge in box[:2])
    right, bottom = (max(int(np.ceil(edge)), start + 1)
                     for edge, start in zip(box[2:], (left, top), strict=True))
    rows = np.arange(top, bottom).clip(0, image.shape[0] - 1)
    columns = np.arange(left, right).clip(0, image.shape[1] - 1)
    return image[rows[:, None], columns], (left, top)


def person_cut_out(
    image: UInt8[np.ndarray, "height0 width0 3"], pose: NamedPose, box: Box, size: tuple[int, int]
) -> tuple[UInt8[np.ndarray, "height width 3"], NamedPose]:
    """The part of a photo that shows one person as the pictures of a model show theirs.

    Args:
      image: the photo.
      pose: the person's pose, in pixels of the photo or of a picture of the size that it names.
      box: around the whole person, in pixels of the photo.
      size: (height, width) of the model's pictures.

    Returns:
      The cut-out, of the model's aspect, and the pose in its pixels.
    """
    cut, place = cut_out(image, framed(box, size, FILLING))
    frame = pose.size or image.shape[:2]
    moved = shifted(fit_pose(pose.pose, frame, image.shape[:2]), (-place[0], -place[1]))
    return cut, dataclasses.replace(pose, pose=moved, size=cut.shape[:2])
