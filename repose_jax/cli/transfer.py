"""`repose transfer`: sources times poses, from files to files."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
import tyro
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

from repose_jax.cli.detector import BoxOption, Kind, load_detector, which_person
from repose_jax.cli.terminal import parse, say, use_compilation_cache
from repose_jax.common.errors import UserError
from repose_jax.common.fields import to_dict
from repose_jax.common.files import check_writable
from repose_jax.common.provenance import check_png, file_hash, picture_text, write_png
from repose_jax.common.ranges import Finite, Fraction, Natural, Seed
from repose_jax.data.image.files import frame_note, is_picture, read_image
from repose_jax.data.image.names import flattened
from repose_jax.inference.draw_alignment import draw_alignment
from repose_jax.inference.draw_trajectory import draw_trajectory
from repose_jax.inference.pipeline import PoseTransfer, Prepared
from repose_jax.models.sample_overrides import GuidanceOptions, given
from repose_jax.pose.draw import draw_skeleton
from repose_jax.pose.formats import (
    NamedPose, find_photo_pose, pose_beside, read_pose, read_poses)
from repose_jax.pose.retarget import Mode

_BATCH = 8


@dataclasses.dataclass(frozen=True)
class TransferOptions:
    """Paint the person of each source in each pose.

    Attributes:
      sources: photos of people.
      pose: file with the target pose: CSV, OpenPose, COCO or MediaPipe JSON, 18 lines of x y, or
        our own JSON; or a photo of a person in that pose, which is then found as the source's is.
      output: the PNG to write; with several results, a folder.
      source_pose: pose in the source; by default that of a pose file of the photo's own name beside
        it, or else it is estimated.
      source_pose_name: row of the source pose in its file; by default the photo's file name where
        the file has several rows.
      source_box: left, top, right and bottom in pixels of the photo: paint the person who is there
        from what is around them; by default the whole photo, of the person whom its pose file or
        the detector shows best.
      pose_name: rows of the target poses, where the file has several.
      pose_person: which of several people in the target pose's picture: the number in the file or of
        the detector, from 0, or the one who is seen best.
      pose_box: left, top, right and bottom in pixels of that picture: the person who is there.
      min_confidence: joints of pose files that have a lower confidence are missing; 0.3 by default.
      detector: what finds the poses in photos that have no pose file; by default the pose estimator
        that the model names.
      detector_model: the file of the detector's network: RTMPose's .onnx, MediaPipe's .task.
      retarget: what of the target pose's body becomes the source's: bones, the lengths of its
        limbs, its size and its place; scale, the last two; none, nothing.
      model: a bundled model, a model file, or the folder of a training run.
      seed: the same seed gives the same picture.
      steps: evaluations of the denoiser; this and the settings below are the model's own where they
        are not given.
      start: share of noise to begin with: 1 is noise alone, less refines the painted picture.
      source_weight: weight of the source in classifier-free guidance.
      pose_weight: weight of the pose, with --classifier-free disentangled.
      classifier_free: form of the classifier-free guidance.
      guidance: gradient guidance.
      sampler: ddim or ddpm.
      eta: noise of ddim.
      grid: also write source, pose and result side by side, to OUTPUT with "-grid" in its name.
      explain: also draw flow, mask and aligned source of every iteration, with "-explain", and each
        step's picture, pose and energy, with "-trajectory".
    """

    sources: Annotated[tuple[pathlib.Path, ...], tyro.conf.Positional, tyro.conf.arg(
        metavar="SOURCE")]
    pose: pathlib.Path
    output: pathlib.Path
    source_pose: pathlib.Path | None = None
    source_pose_name: str | None = None
    source_box: BoxOption = None
    pose_name: tuple[str, ...] = ()
    pose_person: Natural | Literal["largest"] = "largest"
    pose_box: BoxOption = None
    min_confidence: Finite | None = None
    detector: Kind | None = None
    detector_model: pathlib.Path | None = None
    retarget: Mode = "bones"
    model: str = "people"
    seed: Seed = 0
    steps: Natural | None = None
    start: Fraction | None = None
    source_weight: Finite | None = None
    pose_weight: Finite | None = None
    classifier_free: Literal["two-branch", "disentangled"] | None = None
    guidance: GuidanceOptions = GuidanceOptions()
    sampler: Literal["ddim", "ddpm"] | None = None
    eta: Fraction | None = None
    grid: bool = False
    explain: bool = False


def transfer(argv: Sequence[str]) -> int:
    """Paint the person of a photo in another pose."""
    options = parse(TransferOptions, "transfer", argv)
    use_compilation_cache()
    run(options, say, lambda total: tqdm(total=total, unit="picture"))
    return 0


class Job(NamedTuple):
    """One picture to paint."""

    source: pathlib.Path
    source_sha256: str
    pose: NamedPose
    prepared: Prepared
    output: pathlib.Path


def run(
    options: TransferOptions, say: Callable[[str], None], progress: Callable[[int], tqdm]
) -> list[pathlib.Path]:
    """Runs the command; returns the pictures written.

    Everything that can be wrong with the input is found before the first picture is sampled; then
    each batch is written as soon as it is painted.

    Args:
      options: of the command.
      say: is told a line at a time what happens.
      progress: makes a progress bar of so many pictures.

    Raises:
      UserError: model, pictures, poses, settings or output cannot be used.
    """
    transfer = PoseTransfer.load(
        options.model, load_detector(options.detector, options.detector_model))
    sample = dataclasses.replace(
        transfer.sample, guidance=options.guidance.over(transfer.sample.guidance),
        **given(options, "steps", "start", "sampler", "eta", "classifier_free", "source_weight",
                "pose_weight"))
    transfer.sample, transfer.min_confidence = sample, options.min_confidence
    transfer.check(sample, options.seed)
    guide = transfer.guide(sample)
    jobs = _jobs(transfer, options)
    grid = _beside(jobs[0].output, "grid") if len(jobs) == 1 else options.output / "grid.png"
    _check_outputs(jobs, options, grid)
    for note in dict.fromkeys(note for job in jobs for note in job.prepared.notes):
        say(note)

    count = f"{len(jobs)} picture{'s' * (len(jobs) > 1)}, {sample.steps} steps"
    say(f"model {options.model}: {count}; the first run on a machine also compiles the sampler")
    painted, bar = [], progress(len(jobs))
    for part in _parts(jobs):
        size = min(_BATCH, len(jobs))
        filled = [job.prepared for job in part] + [part[0].prepared] * (size - len(part))
        for job, picture in zip(part, transfer.run(filled, options.seed, sample), strict=False):
            text = picture_text(
                model=pathlib.Path(options.model).name, model_sha256=transfer.loaded.sha256,
                source_sha256=job.source_sha256, seed=options.seed,
                settings=to_dict(sample) | {"pose": job.pose.name, "retarget": options.retarget}
                | ({"source_box": options.source_box} if options.source_box else {}),
                guide=guide.sha256 if guide else {})
            write_png(job.output, picture, text)
            painted.append(picture)
            if options.explain:
                drawn = draw_alignment(
                    transfer.align(job.prepared), job.prepared.source, job.prepared.source_pose,
                    job.prepared.target_pose, picture, transfer.skeleton)
                write_png(_beside(job.output, "explain"), np.asarray(drawn), text)
                drawn = draw_trajectory(
                    transfer.trajectory(job.prepared, options.seed, sample),
                    job.prepared.target_pose, transfer.skeleton)
                write_png(_beside(job.output, "trajectory"), np.asarray(drawn), text)
        bar.update(len(part))
    if options.grid:
        # The grid holds pictures of several sources; what they share is in the last one's text.
        write_png(grid, np.asarray(draw_grid(transfer, jobs, painted)), text)
    bar.close()
    for path in _written(jobs, options, grid):
        say(f"wrote {path}")
    return [job.output for job in jobs]


def _jobs(transfer: PoseTransfer, options: TransferOptions) -> list[Job]:
    if not options.sources:
        raise UserError("repose transfer", "got no photo", "name one or more")
    one_file = options.output.suffix.lower() == ".png" and not options.output.is_dir()
    if not one_file and options.output.suffix and not options.output.is_dir():
        check_png(options.output)
    if options.source_box and len(options.sources) > 1:
        raise UserError("--source-box", f"is one box for {len(options.sources)} photos",
                        "name one photo")
    if one_file and len(options.sources) * len(options.pose_name or (None,)) > 1:
        raise UserError(options.output, "is one file for several pictures", "name a folder")
    poses, jobs = _target_poses(transfer, options), []
    for source in options.sources:
        image = read_image(source)
        digest = file_hash(source)
        source_pose = _source_pose(transfer, source, options, image.shape[:2])
        source_pose = dataclasses.replace(
            source_pose, notes=(*frame_note(source), *source_pose.notes))
        for pose in poses:
            name = f"{source.stem}_2_{flattened(pose.name)}.png"
            output = options.output if one_file else options.output / name
            prepared = transfer.prepare(image, source_pose, pose, name=str(source),
                                        box=options.source_box, retarget=options.retarget)
            jobs.append(Job(source, digest, pose, prepared, output))
    return jobs


def _target_poses(transfer: PoseTransfer, options: TransferOptions) -> list[NamedPose]:
    person = which_person(options.pose_person, options.pose_box, "--pose-box")
    if not is_picture(options.pose):
        return [read_pose(options.pose, row=row, person=person,
                          min_confidence=options.min_confidence)
                for row in options.pose_name or (None,)]
    if options.pose_name:
        raise UserError(options.pose, "is a picture and has no named poses",
                        "leave --pose-name out")
    return [transfer.photo_pose(options.pose, person=person)]


def _source_pose(
    transfer: PoseTransfer, source: pathlib.Path, options: TransferOptions, size: tuple[int, int],
) -> NamedPose:
    path, row = options.source_pose, options.source_pose_name
    person = options.source_box or "largest"
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


def _written(
    jobs: list[Job], options: TransferOptions, grid: pathlib.Path
) -> list[pathlib.Path]:
    """Every file that the command writes."""
    paths = [job.output for job in jobs]
    if options.explain:
        paths += [_beside(job.output, word) for job in jobs for word in ("explain", "trajectory")]
    return paths + ([grid] if options.grid else [])


def _check_outputs(jobs: list[Job], options: TransferOptions, grid: pathlib.Path) -> None:
    paths = _written(jobs, options, grid)
    given = {path.resolve() for path in (*options.sources, options.pose)}
    for path in paths:
        if path.resolve() in given:
            raise UserError(path, "would replace what was given", "choose another output")
        if path.is_dir():
            raise UserError(path, "is a folder", "name a file that ends in .png")
        if paths.count(path) > 1:
            raise UserError(path, "would be written twice",
                            "give the sources, and the poses, different names")
    for folder in {path.parent for path in paths}:
        check_writable(folder)


def _parts(jobs: list[Job]) -> Iterator[list[Job]]:
    for start in range(0, len(jobs), _BATCH):
        yield jobs[start:start + _BATCH]


def _beside(path: pathlib.Path, word: str) -> pathlib.Path:
    return path.with_name(f"{path.stem}-{word}.png")


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
