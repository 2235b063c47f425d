"""Reads the pose off a photo with a pose estimator of this package."""

from __future__ import annotations

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from repose_jax.data.images import as_rgb, read_image
from repose_jax.data.resize import letterbox, unfit_pose
from repose_jax.errors import UserError
from repose_jax.evaluation.parts import in_parts
from repose_jax.guide_file import load_estimator
from repose_jax.model import to_signal
from repose_jax.model_file import Weights
from repose_jax.networks.pose_estimator import PoseEstimator, peak
from repose_jax.pose.formats import NamedPose
from repose_jax.pose.skeleton import SKELETONS

# Joints below are left out: the estimator does not know where they are, or they do not show.
MIN_CONFIDENCE = 0.2
MIN_JOINTS = 4


class PoseReader:
    """A pose estimator for finished pictures of one person, upright and filling the height.

    Attributes:
      weights: of the estimator.
    """

    def __init__(self, weights: Weights):
        self.weights = weights
        module = PoseEstimator(weights.config)

        def read(params, pictures):
            heatmaps = module.apply({"params": params}, to_signal(pictures),
                                    jnp.zeros(len(pictures)))
            return peak(heatmaps, pictures.shape[1:3]).pose

        self._read = functools.partial(jax.jit(read), weights.params)

    @property
    def name(self) -> str:
        """How the user called the estimator."""
        return self.weights.name

    @property
    def sha256(self) -> str:
        """Of its file."""
        return self.weights.sha256

    @classmethod
    def load(cls, name: str | os.PathLike[str]) -> PoseReader:
        """Loads an estimator: a bundled name, a file, or the folder of a training run.

        Raises:
          UserError: there is none, or its file is damaged.
        """
        return cls(load_estimator(name))

    def __call__(self, image: str | os.PathLike[str] | Image.Image | np.ndarray) -> NamedPose:
        """Estimates the pose of a picture's person.

        Args:
          image: a file, a Pillow picture or uint8 [h, w, 3].

        Returns:
          The pose in pixels of the picture; visibilities are the estimator's confidences.

        Raises:
          UserError: the picture cannot be read, or shows no person that the estimator knows.
        """
        name = "image"
        if isinstance(image, (str, os.PathLike)):
            name, image = os.fspath(image), read_image(image)
        image = np.asarray(as_rgb(image) if isinstance(image, Image.Image) else image)
        size, frame = image.shape[:2], tuple(self.weights.config.image_size)
        pose = self.poses(letterbox(image, None, frame)[0][None])[0]
        pose *= pose[:, 2:] >= MIN_CONFIDENCE
        known = int((pose[:, 2] > 0).sum())
        if known < MIN_JOINTS:
            raise UserError(
                name, f"shows no person that {self.weights.name} can read ({known} joints)",
                "crop the photo to one upright person, or give the pose as a file")
        skeleton = SKELETONS[self.weights.config.skeleton]
        return NamedPose(pose=unfit_pose(pose, size, frame), size=size, skeleton=skeleton,
                         name=os.path.splitext(os.path.basename(name))[0])

    def poses(
        self, pictures: UInt8[np.ndarray, "n height width 3"], at_once: int = 50
    ) -> Float[np.ndarray, "n joints 3"]:
        """Poses of many pictures of the estimator's size, every joint, visibility the confidence.

        Args:
          pictures: of `weights.config.image_size`.
          at_once: pictures read together.
        """
        return in_parts(self._read, pictures.__getitem__, len(pictures),
                        min(at_once, len(pictures)))
