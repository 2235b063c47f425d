"""The pictures that `repose transfer` paints, and the photos that they are painted from."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import pathlib
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from repose_jax.cli.detector import which_person
from repose_jax.cli.transfer_options import TransferOptions
from repose_jax.common.errors import UserError
from repose_jax.common.provenance import check_png, file_hash
from repose_jax.data.image.files import frame_note, is_picture, read_image
from repose_jax.data.image.names import flattened, pictures_below
from repose_jax.data.pairs.list import read_pair_list
from repose_jax.inference.picture_facts import picture_facts
from repose_jax.inference.pipeline import PoseTransfer, Prepared
from repose_jax.models.pose_energy import Guide
from repose_jax.models.sample_config import SampleConfig
from repose_jax.pose.formats import (
    NamedPose, find_photo_pose, pose_beside, read_pose, read_poses)
from repose_jax.pose.people import Person

_LONGEST_NAME = 200  # bytes; a system's 255, less what temporary and drawn files add


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

    def prepared(self, job: Job, *, large: bool = True) -> Prepared:
        """A job's picture and poses in the frame of the model; UserError where they are no use.

        Without `large` in the model's size alone, to look at what is said of them.
        """
        if self._last is None or self._last[0] != job.source:
            self._last = job.source, read_image(job.source)
        image = self._last[1]
        if job.source not in self._poses:
            found = _source_pose(self._transfer, job.source, self._options, image.shape[:2])
            self._poses[job.source] = dataclasses.replace(
                _own(found), notes=(*frame_note(job.source), *found.notes))
        return self._transfer.prepare(
            image, self._poses[job.source], job.pose, name=str(job.source),
            box=self._options.source_box, retarget=self._options.retarget,
            enlarge=self._options.enlarge if large else 1, frame=self._options.frame)

    def facts(self, job: Job, sample: SampleConfig, guide: Guide | None) -> dict[str, str]:
        """What decides a job's picture, as its file will say; all but that is told by the file."""
        options = self._options
        return picture_facts(
            sample, guide, model=pathlib.Path(options.model).name,
            model_sha256=self._transfer.loaded.sha256, source_sha256=file_hash(job.source),
            seed=options.seed, pose=job.pose, retarget=options.retarget,
            source_pose=self._posed_by(job.source), consent=options.provenance.consent,
            enlarge=options.enlarge, frame=options.frame,
            **({"source_box": options.source_box} if options.source_box else {}))

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
    many = len(options.sources) > 1 or options.sources[0].is_dir()
    if many and options.source_pose and (row is not None or not several):
        raise UserError(path, "gives one pose for several photos",
                        "give a file with a row named after each photo, or lay a pose file of its "
                        "name beside each")
    found = find_photo_pose(path, source, size, row=row, person=person,
                            min_confidence=options.min_confidence)
    if found is None:
        raise UserError(path, f"shows nobody in {source}", "give the pose in this photo")
    return found


def is_one_file(options: TransferOptions) -> bool:
    """Whether the output is the name of a picture, not of a folder."""
    return options.output.suffix.lower() == ".png" and not options.output.is_dir()


def jobs_of(transfer: PoseTransfer, options: TransferOptions) -> list[Job]:
    """The pictures that a command asks for, each once.

    Raises:
      UserError: sources, poses and output do not make up a task.
    """
    one_file = is_one_file(options)
    if not one_file and options.output.suffix and not options.output.is_dir():
        check_png(options.output)
    wanted = [(source, _own(pose)) for source, pose in (
        _product(transfer, options) if options.pairs is None else _listed(transfer, options))]
    if options.source_box and len({source for source, _ in wanted}) > 1:
        raise UserError("--source-box", f"is one box for {len(wanted)} photos", "name one photo")
    if one_file and len(wanted) > 1:
        raise UserError(options.output, "is one file for several pictures", "name a folder")
    return [Job(source, pose, options.output if one_file else
                options.output / _file_name(source, pose)) for source, pose in wanted]


def _file_name(source: pathlib.Path, pose: NamedPose) -> str:
    """A picture's name; UserError where the pose, as its file calls it, makes it none of a file."""
    name = f"{source.stem}_2_{flattened(pose.name)}.png"
    try:
        length = len(os.fsencode(name))
    except UnicodeEncodeError:  # half of a letter
        length = 0
    if not 0 < length <= _LONGEST_NAME or "\0" in name:
        raise UserError(source, f"would be painted into {name!r:.80}, which no file can be called",
                        "give the photo and the pose in its file short names of letters")
    return name


def _own(pose: NamedPose) -> NamedPose:
    """A copy: what was read is a view of all the poses of its file."""
    return dataclasses.replace(pose, pose=np.array(pose.pose))


def _product(
    transfer: PoseTransfer, options: TransferOptions
) -> list[tuple[pathlib.Path, NamedPose]]:
    """Every source in every pose."""
    if not options.sources:
        raise UserError("repose transfer", "got no photo", "name one or more")
    if options.pose is None:
        raise UserError("--pose", "is missing", "name the target pose's file, or --pairs LIST")
    sources = [photo for path in options.sources for photo in (
        pictures_below(path).values() if path.is_dir() else (path,))]
    person = which_person(options.pose_person, options.pose_box, "--pose-box")
    if not is_picture(options.pose):
        poses = [read_pose(options.pose, row=row, person=person,
                           min_confidence=options.min_confidence)
                 for row in options.pose_name or (None,)]
    elif options.pose_name:
        raise UserError(options.pose, "is a picture and has no named poses",
                        "leave --pose-name out")
    else:
        poses = [transfer.photo_pose(options.pose, person=person)]
    return list(itertools.product(sources, poses))


def _listed(
    transfer: PoseTransfer, options: TransferOptions
) -> list[tuple[pathlib.Path, NamedPose]]:
    """The pairs of a list."""
    pairs = options.pairs or pathlib.Path()
    if len(options.sources) != 1 or not options.sources[0].is_dir():
        raise UserError("--pairs", "names photos of a folder",
                        "give the folder, and nothing else, as SOURCE")
    if options.pose_name or options.pose_box or options.pose_person != "largest":
        raise UserError("--pairs", "says whose pose is taken",
                        "leave --pose-name, --pose-person and --pose-box out")
    if options.pose is not None and is_picture(options.pose):
        raise UserError(options.pose, "is a picture, and --pairs names the target poses by photos",
                        "give a file with a pose for each, or leave --pose out")
    photos, found = pictures_below(options.sources[0]), {}

    def pose_of(name: str, line: int) -> NamedPose:
        if options.pose is not None:
            return read_pose(options.pose, row=name, min_confidence=options.min_confidence)
        return dataclasses.replace(transfer.photo_pose(photo_of(name, line)), name=name)

    def photo_of(name: str, line: int) -> pathlib.Path:
        if flattened(name) not in photos:
            raise UserError(pairs, f"line {line} names {name:.100}, which is no photo in "
                            f"{options.sources[0]}", "put the photo there, or drop the line")
        return photos[flattened(name)]

    wanted: dict[tuple[pathlib.Path, str], tuple[pathlib.Path, NamedPose]] = {}
    for line, source, target in read_pair_list(pairs):
        photo = photo_of(source, line)
        if (photo, target) in wanted:
            raise UserError(pairs, f"line {line} says a pair again", "drop the line")
        if target not in found:
            found[target] = _own(pose_of(target, line))
        wanted[photo, target] = photo, found[target]
    if not wanted:
        raise UserError(pairs, "has no pair", "give lines from,to")
    return list(wanted.values())
