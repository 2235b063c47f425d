"""MediaPipe's pose landmarker (BlazePose, Bazarevsky et al. 2020), where mediapipe is installed."""

from __future__ import annotations

import functools
import os

import numpy as np
from jaxtyping import Float, UInt8

from repose_jax.common.errors import UserError
from repose_jax.data.image.crop import cut_out, framed
from repose_jax.data.image.resize import shifted
from repose_jax.pose.detectors import MEDIAPIPE33, landmarks
from repose_jax.pose.people import Box
from repose_jax.pose.skeleton import Skeleton

_MARGIN = 1.25  # it seeks people, and wants to see what is around them
_MOST = 20  # people in a photo
_MEND = "give MediaPipe's pose_landmarker_full.task, or its lite or heavy one"


class MediaPipe:
    """Finds several people in a photo, or those in a box."""

    finds_people = True

    def __init__(self, model: str | os.PathLike[str]):
        """Loads a pose landmarker.

        Args:
          model: its `.task` file.

        Raises:
          UserError: mediapipe is not installed, or the file holds no pose landmarker.
        """
        try:
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision
        except ImportError:
            raise UserError("mediapipe", "is not installed",
                            "pip install '.[mediapipe]'") from None
        if not os.path.isfile(model):
            raise UserError(model, "is not a file", _MEND)
        self.name = f"MediaPipe's {os.path.basename(model)}"
        self._mediapipe = mediapipe
        self._landmarker = functools.partial(
            vision.PoseLandmarker.create_from_options, vision.PoseLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=os.fspath(model)), num_poses=_MOST))
        try:
            with self._landmarker():
                pass
        except (RuntimeError, ValueError, OSError) as error:  # its status codes, as Python's errors
            raise UserError(model, f"is not a pose landmarker ({error})", _MEND) from None

    def people(
        self, photo: UInt8[np.ndarray, "height width 3"], box: Box | None = None
    ) -> tuple[Float[np.ndarray, "people 33 3"], Skeleton]:
        """The poses of the people it finds; see `PoseDetector`."""
        place = (0, 0)
        if box is not None:
            sides = (box[3] - box[1], box[2] - box[0])
            photo, place = cut_out(photo, framed(box, sides, _MARGIN))
        picture = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB,
                                        data=np.ascontiguousarray(photo))
        # Opened anew each time, as one that is left open cannot be closed when Python ends.
        with self._landmarker() as landmarker:
            found = landmarker.detect(picture).pose_landmarks
        return shifted(landmarks(found, photo.shape[:2]), place), MEDIAPIPE33
