"""What the file of a painted picture says of how it was made, whoever asked for it."""

from __future__ import annotations

from typing import Any

from repose_jax.common.fields import identity
from repose_jax.common.provenance import picture_text
from repose_jax.inference.model_frame import Frame
from repose_jax.models.pose_energy import Guide
from repose_jax.models.sample_config import SampleConfig
from repose_jax.pose.formats import NamedPose
from repose_jax.pose.retarget import Mode

SINGLE = ("pose", "pose_sha256", "source_pose")
"""Settings that are of one picture, where the others are those of all that were asked for at once."""


def picture_facts(
    config: SampleConfig, guide: Guide | None, *, model: str, model_sha256: str,
    source_sha256: str, seed: int, pose: NamedPose, retarget: Mode, source_pose: list[str | None],
    consent: str, enlarge: int = 1, frame: Frame = "photo", **more: Any,
) -> dict[str, str]:
    """The text of a picture; see `repose_jax.common.provenance.picture_text`.

    Args:
      config, guide: the settings of the sampler and what guided it.
      model, model_sha256: what the user calls the model, and what it is.
      source_sha256: of the photo's file.
      seed: of the picture.
      pose: the target pose, as it was given.
      retarget: what of that pose's body became the source's.
      source_pose: what the pose in the photo is from: the SHA-256 of its file and its name there, or
        who found it and the SHA-256 of their network's file; None for what there is not.
      consent: the user's note.
      enlarge: how many times the model's size the picture is; not told where it is that size.
      frame: of what it was painted; not told where it is as wide as its photo.
      **more: other settings, JSON-able.
    """
    settings = identity(config) | {
        "pose": pose.name, "pose_sha256": pose.digest(), "retarget": retarget,
        "source_pose": source_pose} | ({"enlarge": enlarge} if enlarge > 1 else {}) | (
            {"frame": frame} if frame != "photo" else {}) | more
    return picture_text(
        model=model, model_sha256=model_sha256, source_sha256=source_sha256, seed=seed,
        settings=settings, guide=guide.sha256 if guide else {}, consent=consent)
