"""Brings a pose into the skeleton and the frame of a model, one step after another.

Each step takes a pose and hands on a pose, whose `where` names it in errors and whose `notes` say what
has been done so far: `in_skeleton`, `in_frame`, and for a target pose `on_body`.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.data.image.resize import Window, fit_pose
from repose_jax.pose.formats import NamedPose, check_inside, convert
from repose_jax.pose.retarget import Mode, describe, inside_frame, retarget
from repose_jax.pose.skeleton import Skeleton

Size = tuple[int, int]
Frame = Literal["photo", "model"]
"""Of what a picture is painted: of its photo's aspect, or of the size that the model learnt from."""

# A pose that has to change its size more than so has been misunderstood.
_SMALLEST, _LARGEST = 0.02, 50.0


def photo_frame(photo: Size, model: Size, stride: int) -> Size:
    """(height, width) of the frame in which a photo is painted: as high as the model's pictures and,
    where the photo is wider than they are, wider, up to a square.

    Args:
      photo: (height, width) of the photo.
      model: of the pictures that the model learnt from.
      stride: what both sides must be multiples of.
    """
    height, width = model
    # To lose 1 % beside the photo is better than a band of another 16 columns.
    wanted = math.ceil(0.99 * height * photo[1] / photo[0] / stride) * stride
    return height, max(width, min(wanted, height))


def in_skeleton(given: NamedPose, skeleton: Skeleton) -> NamedPose:
    """The joints that a skeleton has.

    Raises:
      UserError: none of them is known.
    """
    done = given
    if given.skeleton != skeleton:
        pose, lost = convert(given.pose, given.skeleton, skeleton)
        note = f"{given.where}: converted from {given.skeleton.name} to {skeleton.name}"
        note += f", which leaves out {', '.join(lost)}" if lost else ""
        done = dataclasses.replace(
            given, pose=pose, skeleton=skeleton, notes=(*given.notes, note))
    if not (done.pose[:, 2] > 0).any():
        raise UserError(given.where, f"has no joint of {skeleton.name}",
                        "give a pose with known joints")
    return done


def in_frame(given: NamedPose, photo: Size, frame: Size, *, anywhere: bool) -> NamedPose:
    """The pose where its photo's person stands once the photo is letterboxed into a frame.

    Joints are known or not from here on: models learn from poses without confidences.

    Args:
      given: the pose; one whose picture's size is not known is taken to be in pixels of the photo.
      photo: (height, width) of the source photo.
      frame: (height, width) of the model's pictures.
      anywhere: whether it may lie outside of its picture.

    Raises:
      UserError: it may not, and does.
    """
    size = given.size or photo
    outside = [] if anywhere else check_inside(given.where, given.pose, size)
    known = np.concatenate([given.pose[:, :2], given.pose[:, 2:] > 0], 1, dtype=np.float32)
    return dataclasses.replace(given, pose=fit_pose(known, size, frame), size=frame,
                               notes=(*given.notes, *outside))


def on_body(target: NamedPose, source: NamedPose, mode: Mode, photo: Window) -> NamedPose:
    """The target pose on the body of the source, both in the frame of a model; `photo` is the part
    of the frame that becomes a picture.

    Raises:
      UserError: one of them shows no limb, or they are of sizes that cannot both be meant.
    """
    frame = source.size
    assert frame is not None  # `in_frame` has told it
    done = retarget(source.pose, target.pose, source.skeleton, mode)
    if not done.known:
        raise UserError(target.where, "cannot be retargeted, as it or the source pose shows no limb",
                        "give a pose with more joints, or --retarget none")
    if not _SMALLEST <= done.size <= _LARGEST:
        raise UserError(target.where, f"would be scaled to {100 * float(done.size):.3g} %",
                        "give the pose in pixels, or tell the size of the picture that it is in "
                        "fractions of")
    pose, note = inside_frame(done.pose, source.pose, source.skeleton, photo.size, photo[:2])
    said = (f"{target.where}: {text}" for text in (describe(done, source.skeleton), note) if text)
    return dataclasses.replace(
        target, pose=pose, notes=(*target.notes, *said, *check_inside(target.where, pose, frame)))
