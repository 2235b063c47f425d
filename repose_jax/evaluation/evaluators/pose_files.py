"""Poses that a detector of the user's choice found in pictures, as files beside them.

The judge of poses need not be one of this package: run any detector on a folder of pictures and leave
its result for x.png as x.json (OpenPose, COCO, MediaPipe landmarks or our own JSON).
"""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from repose_jax.common.errors import UserError
from repose_jax.data.image.files import read_image
from repose_jax.data.image.names import pictures_below
from repose_jax.pose.formats import convert, find_photo_pose, pose_beside
from repose_jax.pose.skeleton import Skeleton


class FoundPoses:
    """Looks poses up by the picture itself.

    Attributes:
      name: for reports.
      sha256: of all the poses.
    """

    def __init__(self, paths: Sequence[pathlib.Path], skeleton: Skeleton,
                 min_confidence: float | None = None):
        """Reads the pose beside each picture; a picture without one, or with one of no people,
        shows nobody.

        Args:
          paths: of the pictures.
          skeleton: of the poses that are given out.
          min_confidence: see `repose_jax.pose.formats.read_poses`.

        Raises:
          UserError: no picture has one, or one cannot be read.
        """
        self._poses, self.name, seen = {}, "poses beside the pictures", False
        for path in paths:
            beside, _ = pose_beside(path)
            if beside is None:
                continue
            picture, seen = read_image(path), True
            found = find_photo_pose(beside, path, picture.shape[:2],
                                    min_confidence=min_confidence)
            if found is None:
                continue
            pose, _ = convert(found.pose, found.skeleton, skeleton)
            # What was not found is nowhere, rather than in the corner.
            pose = np.where(pose[:, 2:] > 0, pose, np.nan).astype(np.float32)
            self._poses[_key(picture)] = pose
        if not seen:
            raise UserError(paths[0].parent, "has no pose beside any picture",
                            "leave x.json beside x.png, or name another judge")
        self._nobody = np.full((len(skeleton), 3), np.nan, np.float32)
        self._pictures = {_key(read_image(path)) for path in paths}
        digest = hashlib.sha256()
        for key in sorted(self._poses):
            digest.update(key + self._poses[key].tobytes())
        self.sha256 = digest.hexdigest()

    def poses(
        self, pictures: UInt8[np.ndarray, "n height width 3"]
    ) -> Float[np.ndarray, "n joints 3"]:
        """The pose of each picture, NaN where it or a joint was not found.

        Raises:
          UserError: a picture is not one of the folder's.
        """
        keys = [_key(picture) for picture in pictures]
        if any(key not in self._pictures for key in keys):
            raise UserError("judge", "has no poses of pictures outside of the folders",
                            "give --no-baselines, and pictures of the data's size")
        return np.stack([self._poses.get(key, self._nobody) for key in keys])


def _key(picture: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(picture).tobytes()).digest()


def beside(folders: Sequence[str | os.PathLike[str]], skeleton: Skeleton,
           min_confidence: float | None = None) -> FoundPoses:
    """The poses beside all pictures of some folders; see `FoundPoses`."""
    return FoundPoses([path for folder in folders for path in pictures_below(folder).values()],
                      skeleton, min_confidence)
