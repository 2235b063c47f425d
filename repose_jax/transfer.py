"""The `transfer` command: sources times poses, from files to files."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

from repose_jax.data.images import read_image
from repose_jax.errors import UserError
from repose_jax.files import write_whole
from repose_jax.explain import draw_alignment
from repose_jax.generate import SampleConfig
from repose_jax.pipeline import PoseTransfer, Prepared, pose_beside
from repose_jax.pose.draw import draw_skeleton
from repose_jax.pose.formats import NamedPose, read_pose, read_poses
from repose_jax.provenance import check_png, file_hash, picture_text, write_png

if TYPE_CHECKING:
    from repose_jax.cli import TransferOptions

_BATCH = 8


class Job(NamedTuple):
    """One picture to paint."""

    source: pathlib.Path
    pose: NamedPose
    prepared: Prepared
    output: pathlib.Path


def run(options: TransferOptions, say: Callable[[str], None]) -> list[pathlib.Path]:
    """Runs the command; returns the pictures written.

    Everything that can be wrong with the input is found before the first picture is sampled.

    Raises:
      UserError: model, pictures, poses, settings or output cannot be used.
    """
    transfer = PoseTransfer.load(options.model)
    sample = SampleConfig(
        steps=options.steps, sampler=options.sampler, eta=options.eta, guidance=options.guidance,
        source_weight=options.source_weight, pose_weight=options.pose_weight)
    transfer.check(sample)
    jobs = _jobs(transfer, options)
    for note in dict.fromkeys(note for job in jobs for note in job.prepared.notes):
        say(note)
    _prepare_outputs(jobs)

    painted = []
    steps = f"{len(jobs)} picture{'s' * (len(jobs) > 1)}, {sample.steps} steps"
    say(f"model {options.model}: {steps}; the first run on a machine also compiles the sampler")
    with tqdm(total=len(jobs), unit="picture") as bar:
        for part in _parts(jobs):
            size = min(_BATCH, len(jobs))
            filled = [job.prepared for job in part] + [part[0].prepared] * (size - len(part))
            painted += list(transfer.run(filled, options.seed, sample)[:len(part)])
            bar.update(len(part))

    for job, picture in zip(jobs, painted, strict=True):
        write_png(job.output, picture, picture_text(
            model=options.model, model_sha256=transfer.loaded.sha256,
            source_sha256=file_hash(job.source), seed=options.seed,
            settings=vars(sample) | {"pose": job.pose.name}))
        say(f"wrote {job.output}")
        if options.explain:
            drawn = draw_alignment(
                transfer.align(job.prepared), job.prepared.source, job.prepared.source_pose,
                job.prepared.target_pose, picture, transfer.skeleton)
            say(f"wrote {_write_drawing(_beside(job.output, 'explain'), drawn)}")
    if options.grid:
        path = _beside(jobs[0].output, "grid") if len(jobs) == 1 else options.output / "grid.png"
        say(f"wrote {_write_drawing(path, draw_grid(transfer, jobs, painted))}")
    return [job.output for job in jobs]


def _jobs(transfer: PoseTransfer, options: TransferOptions) -> list[Job]:
    several = len(options.sources) * max(len(options.pose_name), 1) > 1
    if several and options.output.suffix.lower() == ".png":
        raise UserError(options.output, "is one file for several pictures", "name a folder")
    jobs = []
    for source in options.sources:
        image = read_image(source)
        size = image.shape[:2]
        source_pose = _source_pose(source, options, size)
        for row in options.pose_name or (None,):
            pose = read_pose(options.pose, row=row, size=size)
            name = f"{source.stem}_2_{pathlib.Path(pose.name).stem}.png"
            one_file = options.output.suffix.lower() == ".png"
            output = options.output if one_file else options.output / name
            prepared = transfer.prepare(image, source_pose, pose, name=str(source))
            jobs.append(Job(source, pose, prepared, output))
    taken = [job.output for job in jobs]
    for path in taken:
        check_png(path)
        if taken.count(path) > 1:
            raise UserError(path, "would be written twice", "give the sources different names")
    return jobs


def _source_pose(
    source: pathlib.Path, options: TransferOptions, size: tuple[int, int]
) -> NamedPose:
    path = options.source_pose or pose_beside(source)
    row = options.source_pose_name
    if row is None and len(read_poses(path, size=size).names) > 1:
        row = source.name
    return read_pose(path, row=row, size=size)


def _prepare_outputs(jobs: list[Job]) -> None:
    for folder in {job.output.parent for job in jobs}:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(folder, f"cannot be made a folder ({error.strerror})",
                            "choose a place that can be written") from None
        if not os.access(folder, os.W_OK):
            raise UserError(folder, "cannot be written", "choose a place that can be written")
    for job in jobs:
        if job.output.is_dir():
            raise UserError(job.output, "is a folder", "name a file that ends in .png")


def _parts(jobs: list[Job]) -> Iterator[list[Job]]:
    for start in range(0, len(jobs), _BATCH):
        yield jobs[start:start + _BATCH]


def _beside(path: pathlib.Path, word: str) -> pathlib.Path:
    return path.with_name(f"{path.stem}-{word}.png")


def _write_drawing(path: pathlib.Path, drawing: Image.Image) -> pathlib.Path:
    write_whole(path, lambda file: drawing.save(file, format="PNG"))
    return path


def draw_grid(
    transfer: PoseTransfer, jobs: list[Job], painted: list[UInt8[np.ndarray, "h w 3"]]
) -> Image.Image:
    """A row for each source: the source with its pose, then each target pose and its result."""
    upscale = max(1, 256 // transfer.size[0])
    height, width = (side * upscale for side in transfer.size)

    def enlarge(picture):
        return np.asarray(Image.fromarray(picture).resize((width, height), Image.BICUBIC))

    rows: dict[pathlib.Path, list[np.ndarray]] = {}
    for job, picture in zip(jobs, painted, strict=True):
        pose, source = job.prepared.target_pose, job.prepared.source
        if job.source not in rows:
            rows[job.source] = [enlarge(source)]
        black = np.zeros_like(source)
        rows[job.source] += [draw_skeleton(black, pose, transfer.skeleton, upscale=upscale),
                             enlarge(picture)]
    return Image.fromarray(np.concatenate([np.concatenate(row, 1) for row in rows.values()]))
