"""The energy that guides: how far a picture's pose is from a valid one, and from the target.

Estimator and field read a pose off the denoiser's guess at the clean picture and judge it
(docs/method.md, equation 17).
"""

from __future__ import annotations

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from repose_jax.diffusion.guidance import Energy
from repose_jax.diffusion.schedule import Schedule
from repose_jax.networks.apply import apply
from repose_jax.networks.pif import FieldConfig, PoseField
from repose_jax.networks.pose_estimator import (
    EstimatorConfig, PoseEstimate, PoseEstimator, soft_argmax)

Params = dict


@flax.struct.dataclass
class Guide:
    """What reads poses off pictures and judges them: a pytree whose leaves are the parameters.

    Attributes:
      estimator: parameters of the pose estimator, float32.
      field: those of the pose interaction field; None where it is not used.
      estimator_config, field_config: of the networks.
      files: SHA-256 of each network's file, by "estimator" and "field"; empty for none.
    """

    estimator: Params
    field: Params | None
    estimator_config: EstimatorConfig = flax.struct.field(pytree_node=False)
    field_config: FieldConfig | None = flax.struct.field(pytree_node=False, default=None)
    files: tuple[tuple[str, str], ...] = flax.struct.field(pytree_node=False, default=())

    @property
    def sha256(self) -> dict[str, str]:
        """Of the files."""
        return dict(self.files)

    def without_field(self) -> Guide:
        """The estimator alone."""
        return dataclasses.replace(self, field=None, field_config=None)

    def estimate(
        self, x0: Float[Array, "batch h w 3"], noise: Float[Array, "batch"]
    ) -> PoseEstimate:
        """The pose in a guess at the clean picture.

        Args:
          x0: the guess, [-1, 1] units.
          noise: sqrt(1 - abar) of the noisy picture it was made from; 0 for a finished picture.
        """
        heatmaps = apply(PoseEstimator(self.estimator_config), self.estimator, x0, noise)
        return soft_argmax(heatmaps, (x0.shape[1], x0.shape[2]))

    def distance(self, found: PoseEstimate) -> Float[Array, "batch"]:
        """f(p): the field's distance of estimated poses, the confidences its visibilities.

        The confidences are held fixed: no gradient makes a joint unreadable to please the field.
        """
        sure = jax.lax.stop_gradient(found.confidence)
        pose = jnp.concatenate([found.xy, sure[..., None]], axis=-1)
        assert self.field is not None and self.field_config is not None  # who asks has checked
        return apply(PoseField(self.field_config), self.field, pose, method="of_pose").distance

    def judged(
        self, x0: Float[Array, "batch h w 3"], noise: Float[Array, "batch"]
    ) -> Float[Array, "batch"]:
        """f(p)^2 of the poses read off guesses at the picture: the field as a training loss."""
        return self.distance(self.estimate(x0, noise)) ** 2

    def energy(
        self,
        target_pose: Float[Array, "batch joints 3"],
        schedule: Schedule,
        *,
        pif: float | Float[Array, ""],
        target: float | Float[Array, ""],
    ) -> Energy:
        """E = w_pif f(p)^2 + w_target sum_j c_j v_j |p_j - P_j|^2, lengths in picture heights.

        The confidences c are held fixed, so that the energy cannot fall by making a joint
        unreadable.

        Args:
          target_pose: P and v, pixels.
          schedule: of the denoiser whose guesses are judged.
          pif: w_pif.
          target: w_target.

        Returns:
          The energy; it tells "field" (f), "pose_error" (mean distance to the target's joints in
          picture heights) and "pose" [batch, joints, 3].
        """

        def measure(x0: Float[Array, "batch h w 3"], t: Int[Array, "batch"]):
            height = x0.shape[1]
            noise = jnp.sqrt(1 - schedule.alpha_bar(t))[:, 0, 0, 0]
            found = self.estimate(x0, noise)
            sure = jax.lax.stop_gradient(found.confidence)
            visible = (target_pose[..., 2] > 0).astype(x0.dtype)
            distance2 = jnp.sum((found.xy - target_pose[..., :2]) ** 2, axis=-1) / height**2
            total = target * jnp.sum(sure * visible * distance2, axis=-1)
            mean = jnp.sum(visible * jnp.sqrt(distance2), axis=-1) / jnp.maximum(
                visible.sum(-1), 1.0)
            info = {"pose_error": mean, "pose": found.pose}
            if self.field is not None:
                info["field"] = self.distance(found)
                total = total + pif * info["field"] ** 2
            return total, info

        return measure
