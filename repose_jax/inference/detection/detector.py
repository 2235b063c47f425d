"""What finds people and their poses in a photo."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from jaxtyping import Float, UInt8

from repose_jax.pose.people import Box
from repose_jax.pose.skeleton import Skeleton


class PoseDetector(Protocol):
    """Our own `PoseReader` and the adapters of other people's detectors.

    Attributes:
      name: what notes and errors call it.
      finds_people: whether it looks for people; otherwise it sees one, who fills the photo or the
        box.
    """

    name: str
    finds_people: bool

    def people(
        self, photo: UInt8[np.ndarray, "height width 3"], box: Box | None = None
    ) -> tuple[Float[np.ndarray, "people joints 3"], Skeleton]:
        """The poses of the people that it finds.

        Args:
          photo: RGB.
          box: where in the photo to look.

        Returns:
          The poses in pixels of the photo, visibilities being its confidences and joints it is not
          sure of missing, and their skeleton.
        """
