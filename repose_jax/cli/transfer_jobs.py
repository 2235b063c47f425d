"""The pictures that `repose transfer` paints, and the photos that they are painted from."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import UInt8

from repose_jax.common.errors import UserError
from repose_jax.common.fields import identity
from repose_jax.common.provenance import file_hash, picture_text
from repose_jax.data.image.files import frame_note, read_image
from repose_jax.inference.pipeline import PoseTransfer, Prepared
from repose_jax.models.pose_energy import Guide
from repose_jax.models.sample_config import SampleConfig
from repose_jax.pose.formats import NamedPose, find_photo_pose, pose_beside, read_poses
from repose_jax.pose.people import Person

if TYPE_CHECKING:
    from repose_jax.cli.transfer import TransferOptions


class Job(NamedTuple):
    """One picture to paint.

    Attributes:
      source: the photo.
      pose: the target pose.
      output: the PNG.
    """

    source: pathlib.Path
    pose: NamedPose
    output: pathlib.Path


class Photos:
    """The sources of a command, read when they are needed: of all but the last, only poses are kept.

    Args:
      transfer, options: of the command.
    """

    def __init__(self, transfer: PoseTransfer, options: TransferOptions):
        self._transfer, self._options = transfer, options
        self._poses: dict[pathlib.Path, NamedPose] = {}
        self._last: tuple[pathlib.Path, UInt8[np.ndarray, "h w 3"]] | None = None
        self._posed_by = functools.cache(self._uncached_posed_by)

    def prepared(self, job: Job) -> Prepared:
        """A job's picture and poses in the frame of the model; UserError where they are no use."""
        if self._last is None or self._last[0] != job.source:
            self._last = job.source, read_image(job.source)
        image = self._last[1]
        if job.source not in self._poses:
            found = _source_pose(self._transfer, job.source, self._options, image.shape[:2])
            # A copy: what is found is a view of all the poses of its file.
            self._poses[job.source] = dataclasses.replace(
                found, pose=np.array(found.pose), notes=(*frame_note(job.source), *found.notes))
        return self._transfer.prepare(
            image, self._poses[job.source], job.pose, name=str(job.source),
            box=self._options.source_box, retarget=self._options.retarget)

    def facts(self, job: Job, sample: SampleConfig, guide: Guide | None) -> dict[str, str]:
        """What decides a job's picture, as its file will say; all but that is told by the file."""
        options = self._options
        settings = identity(sample) | {
            "pose": job.pose.name, "pose_sha256": job.pose.digest(), "retarget": options.retarget,
            "source_pose": self._posed_by(job.source)}
        return picture_text(
            model=pathlib.Path(options.model).name, model_sha256=self._transfer.loaded.sha256,
            source_sha256=file_hash(job.source), seed=options.seed,
            settings=settings | ({"source_box": options.source_box} if options.source_box else {}),
            guide=guide.sha256 if guide else {}, consent=options.provenance.consent)

    def _uncached_posed_by(self, source: pathlib.Path) -> list[str | None]:
        """What the pose in a photo is from: the SHA-256 of its file and its row, or a detector."""
        options = self._options
        path = options.source_pose or pose_beside(source)[0]
        if path is not None:
            return [file_hash(path), options.source_pose_name]
        return [options.detector or "estimator",
                None if options.detector_model is None else file_hash(options.detector_model)]


def _source_pose(
    transfer: PoseTransfer, source: pathlib.Path, options: TransferOptions, size: tuple[int, int],
) -> NamedPose:
    path, row = options.source_pose, options.source_pose_name
    person: Person = options.source_box or "largest"
    if path is None and row is None:
        return transfer.photo_pose(source, person=person)
    if path is None:
        path, _ = pose_beside(source)
        if path is None:
            raise UserError("--source-pose-name", f"names a row, and no pose file lies beside {source}",
                            "give --source-pose too")
    several = len(set(read_poses(path, size=size).pictures)) > 1
    if len(options.sources) > 1 and options.source_pose and (row is not None or not several):
        raise UserError(path, f"gives one pose for {len(options.sources)} photos",
                        "give a file with a row named after each photo, or lay a pose file of its "
                        "name beside each")
    found = find_photo_pose(path, source, size, row=row, person=person,
                            min_confidence=options.min_confidence)
    if found is None:
        raise UserError(path, f"shows nobody in {source}", "give the pose in this photo")
    return found
