"""The pose of one person in a photo, by whatever detector."""

from __future__ import annotations

import os
from collections.abc import Sequence

from repose_jax.common.errors import UserError
from repose_jax.data.image.files import ImageLike, frame_note, pixels_of
from repose_jax.inference.detection.detector import PoseDetector
from repose_jax.pose.named_poses import NamedPose
from repose_jax.pose.people import MIN_JOINTS, Box, Person, choose_person, clipped, said


def box_inside(
    box: Sequence[float], size: tuple[int, int], where: str | os.PathLike[str]
) -> Box:
    """The part of a box that lies in a photo of a size; UserError names the photo by `where`."""
    try:
        left, top, right, bottom = (float(side) for side in box)
        return clipped((left, top, right, bottom), size)
    except ValueError as error:
        raise UserError(where, str(error), "give X0 Y0 X1 Y1 in its pixels") from None


def photo_pose(
    detector: PoseDetector, image: ImageLike, person: Person = "largest"
) -> NamedPose:
    """Finds the pose of a picture's person.

    Args:
      detector: finds it.
      image: a file, a Pillow picture or uint8 [h, w, 3].
      person: which of several people; a box also says where the detector looks.

    Returns:
      The pose in pixels of the picture, its visibilities the detector's confidences; its notes say
      who was chosen.

    Raises:
      UserError: the picture cannot be read, or shows no such person that the detector can find.
    """
    path = os.fspath(image) if isinstance(image, (str, os.PathLike)) else None
    where = path or "image"
    image = pixels_of(image, where)
    height, width = image.shape[:2]
    box, inside = None, ""
    if not isinstance(person, (int, str)):
        box = box_inside(person, (height, width), where)
        inside = f" in the box {said(person)}"
    poses, skeleton = detector.people(image, box)
    poses = poses[(poses[..., 2] > 0).sum(axis=1) >= MIN_JOINTS]
    if not len(poses):
        raise UserError(where, f"shows no person that {detector.name} can read{inside}",
                        "give the box of one upright person, or the pose as a file")
    try:
        chosen, note = choose_person(poses, person)
    except ValueError as error:
        raise UserError(where, str(error), "choose another person") from None
    pose = poses[chosen]
    known = int((pose[:, 2] > 0).sum())
    if not inside and not detector.finds_people:
        inside = ", which looks for one person who fills the photo"
    notes = frame_note(path) if path else []
    notes += [f"{where}: {note}"] if note else []
    notes.append(f"{where}: pose estimated by {detector.name}{inside}, {known} of {len(pose)} joints")
    return NamedPose(
        pose=pose, name=os.path.splitext(os.path.basename(where))[0], skeleton=skeleton,
        size=(height, width), path=path, notes=tuple(notes))
