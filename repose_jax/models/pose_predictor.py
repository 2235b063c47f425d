"""Reads the pose off a photo with a pose estimator of this package."""

from __future__ import annotations

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from repose_jax.common.batching import in_parts
from repose_jax.common.signal import to_signal
from repose_jax.data.image.crop import FILLING, cut_out, framed
from repose_jax.data.image.resize import letterbox, shifted, unfit_pose
from repose_jax.models.weights import Pretrained, load_estimator
from repose_jax.networks.apply import apply
from repose_jax.networks.pose_estimator import EstimatorConfig, PoseEstimator, peak
from repose_jax.pose.people import Box
from repose_jax.pose.skeleton import SKELETONS, Skeleton

# Joints below are left out: the estimator does not know where they are, or they do not show.
MIN_CONFIDENCE = 0.2


class PoseReader:
    """A pose estimator for finished pictures of one person, upright and filling the height.

    A `PoseDetector` of the one person who fills the photo, or a box in it.

    Attributes:
      weights: of the estimator.
      name: how the user called it.
      sha256: of its file.
    """

    finds_people = False

    def __init__(self, weights: Pretrained[EstimatorConfig]):
        self.weights, self.name, self.sha256 = weights, weights.name, weights.sha256
        module = PoseEstimator(weights.config)

        def read(params, pictures):
            heatmaps = apply(module, params, to_signal(pictures),
                             jnp.zeros(len(pictures)))
            return peak(heatmaps, pictures.shape[1:3]).pose

        self._read = functools.partial(jax.jit(read), weights.params)

    @classmethod
    def load(cls, name: str | os.PathLike[str]) -> PoseReader:
        """Loads an estimator: a bundled name, a file, or the folder of a training run.

        Raises:
          UserError: there is none, or its file is damaged.
        """
        return cls(load_estimator(name))

    def people(
        self, photo: UInt8[np.ndarray, "height width 3"], box: Box | None = None
    ) -> tuple[Float[np.ndarray, "1 joints 3"], Skeleton]:
        """The pose of the one person; see `PoseDetector`."""
        place, frame = (0, 0), tuple(self.weights.config.image_size)
        if box is not None:
            photo, place = cut_out(photo, framed(box, frame, FILLING))
        poses = self.poses(letterbox(photo, None, frame)[0][None])
        poses *= poses[..., 2:] >= MIN_CONFIDENCE
        return (shifted(unfit_pose(poses, photo.shape[:2], frame), place),
                SKELETONS[self.weights.config.skeleton])

    def poses(
        self, pictures: UInt8[np.ndarray, "n height width 3"], at_once: int = 50
    ) -> Float[np.ndarray, "n joints 3"]:
        """Poses of many pictures of the estimator's size, every joint, visibility the confidence.

        Args:
          pictures: of `weights.config.image_size`, or a whole number of times as large.
          at_once: pictures read together.
        """
        return in_parts(self._read, pictures.__getitem__, len(pictures),
                        min(at_once, len(pictures)))
