"""`repose transfer`: sources times poses, from files to files."""

from __future__ import annotations

import collections
import contextlib
import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from repose_jax.cli.detector import load_detector
from repose_jax.cli.provenance_options import seal_of
from repose_jax.cli.terminal import Terminal, parse, use_compilation_cache
from repose_jax.cli.transfer_jobs import Job, Photos, is_one_file, jobs_of
from repose_jax.cli.transfer_options import TransferOptions
from repose_jax.common.errors import UserError
from repose_jax.common.events import Events, silent
from repose_jax.common.files import check_writable
from repose_jax.common.picture_manifest import PictureManifest
from repose_jax.common.provenance import details, file_content, text_of, write_png
from repose_jax.data.image.files import read_image
from repose_jax.inference.draw_alignment import draw_alignment
from repose_jax.inference.draw_trajectory import draw_trajectory
from repose_jax.inference.model_frame import Size
from repose_jax.inference.pipeline import PoseTransfer, Prepared
from repose_jax.models.sample_config import SampleConfig
from repose_jax.pose.draw import draw_skeleton

_BATCH = 8
_NAMED = 100
"""Of more files than this only the number is told."""


def transfer(argv: Sequence[str]) -> int:
    """Paint the person of a photo in another pose."""
    options = parse(TransferOptions, "transfer", argv)
    use_compilation_cache()
    with contextlib.closing(Terminal()) as events:
        run(options, events)
    return 0


def run(options: TransferOptions, events: Events = silent) -> list[pathlib.Path]:
    """Runs the command; returns the pictures that are there at its end.

    Everything that can be wrong with the input is found before the first picture is sampled; then
    each batch is written as soon as it is painted. A picture in the output folder that says it was
    made from the same photo, poses, model and settings is kept, so that a command that was stopped
    goes on; memory does not grow with the number of sources, but for their poses. A folder also gets
    a list of its pictures, manifest.jsonl.

    Args:
      options: of the command.
      events: get a line at a time on what happens, and hear of its progress.

    Raises:
      UserError: model, pictures, poses, settings or output cannot be used; or the folder has a
        picture of that name that was made otherwise.
    """
    transfer = PoseTransfer.load(
        options.model, load_detector(options.detector, options.detector_model))
    sample = options.sample.over(transfer.sample)
    transfer.sample, transfer.min_confidence = sample, options.min_confidence
    transfer.check(sample, options.seed)
    transfer.check_enlarge(options.enlarge)
    guide = transfer.guide(sample)
    jobs, photos = jobs_of(transfer, options), Photos(transfer, options)
    grid = _beside(jobs[0].output, "grid") if len(jobs) == 1 else options.output / "grid.png"
    _check_outputs(jobs, options, grid)
    seal = seal_of(options.provenance, events.tell)
    listed = None if is_one_file(options) else PictureManifest(options.output)

    def facts(job: Job) -> dict[str, str]:
        return photos.facts(job, sample, guide)

    def signed_from(*jobs: Job) -> list[bytes]:
        """The photos that credentials tell of; none are read where nothing is signed."""
        paths = dict.fromkeys(job.source for job in jobs)
        return [] if seal is None else [file_content(path) for path in paths]

    todo = [job for job in jobs if not _is_done(job, options, facts)]
    unfinished = {job.output for job in todo}
    for job in jobs:  # a kill may have come between a picture and its line
        if listed and job.output not in unfinished and job.output.name not in listed:
            listed.add(job.output, _line(job, facts(job)))
    if len(todo) < len(jobs):
        events.tell(f"{len(jobs) - len(todo)} of {len(jobs)} pictures are there already and kept")
    said: set[str] = set()
    framed: dict[Size, list[Job]] = {}
    for job in todo:  # whatever is wrong with one of them is found before the first is painted
        ready = photos.prepared(job, large=False)
        framed.setdefault(ready.source.shape[:2], []).append(job)
        for note in ready.notes:
            if note not in said:
                events.tell(note)
                said.add(note)
    count = f"{len(todo)} picture{'s' * (len(todo) != 1)}, {sample.steps} steps"
    events.tell(f"model {options.model}: {count}; the first run on a machine also compiles the "
                "sampler")
    # Of one size whatever is left to do: another could round otherwise.
    size = min(_BATCH, len(jobs))
    done = 0
    events.progress("painting", done, len(todo))
    for part in itertools.chain.from_iterable(map(_parts, framed.values())):
        prepared = [photos.prepared(job) for job in part]
        filled = prepared + prepared[:1] * (size - len(part))
        painted = transfer.run(filled, options.seed, sample)
        for job, ready, picture in zip(part, prepared, painted, strict=False):
            text, sources = facts(job), signed_from(job)
            if options.explain:  # the picture itself comes last: where it is, all of it is
                for word, drawn in _explain(transfer, ready, picture, sample, options.seed):
                    write_png(_beside(job.output, word), drawn, text, seal, sources)
            write_png(job.output, ready.cut(picture), text, seal, sources)
            if listed:
                listed.add(job.output, _line(job, text))
        done += len(part)
        events.progress("painting", done, len(todo))
    if options.grid:
        # The grid holds pictures of several sources; what they share is in the last one's text.
        # One after the other: of all at once the larger photos would be held, too.
        drawn = draw_grid(transfer, jobs, map(photos.prepared, jobs), options.enlarge)
        write_png(grid, np.asarray(drawn), facts(jobs[-1]), seal, signed_from(*jobs))
    written = _written(todo, options, grid)
    for path in written if len(written) <= _NAMED else ():
        events.tell(f"wrote {path}")
    if len(written) > _NAMED:
        events.tell(f"wrote {len(written)} files to {options.output}")
    return [job.output for job in jobs]


def _explain(transfer: PoseTransfer, ready: Prepared, picture: UInt8[np.ndarray, "h w 3"],
             sample: SampleConfig, seed: int) -> Iterator[tuple[str, UInt8[np.ndarray, "h w 3"]]]:
    """What --explain draws of a picture, with the word that its file's name gets."""
    drawn = draw_alignment(transfer.align(ready), ready.source, ready.source_pose,
                           ready.target_pose, picture, transfer.skeleton)
    yield "explain", np.asarray(drawn)
    drawn = draw_trajectory(transfer.trajectory(ready, seed, sample), ready.target_pose,
                            transfer.skeleton)
    yield "trajectory", np.asarray(drawn)


def _line(job: Job, text: dict[str, str]) -> dict[str, Any]:
    """What the list of a folder tells of a picture."""
    return {"source": job.source.name} | details(text)


def _is_done(job: Job, options: TransferOptions, facts: Callable[[Job], dict[str, str]]) -> bool:
    """Whether a picture of an output folder is there, made as it is asked for now.

    A single PNG that is named is always painted.

    Raises:
      UserError: it is there and was made otherwise, which --overwrite allows.
    """
    if options.overwrite or is_one_file(options) or not job.output.exists():
        return False
    wanted, found = facts(job), text_of(job.output)
    name = next((name for name in wanted if found.get(name) != wanted[name]), None)
    if name is not None:
        raise UserError(job.output, f"is there already and its {name.removeprefix('repose:')} is "
                        "another", "give --overwrite, or another folder")
    beside = [_beside(job.output, word) for word in ("explain", "trajectory")]
    return not options.explain or all(path.exists() for path in beside)


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
    times = collections.Counter(paths)
    given = {path.resolve() for path in (
        *(job.source for job in jobs), options.pose, options.pairs) if path}
    for path in paths:
        if path.resolve() in given:
            raise UserError(path, "would replace what was given", "choose another output")
        if path.is_dir():
            raise UserError(path, "is a folder", "name a file that ends in .png")
        if times[path] > 1:
            raise UserError(path, "would be written twice",
                            "give the sources, and the poses, different names")
    for folder in {path.parent for path in paths}:
        check_writable(folder)


def _parts(jobs: list[Job]) -> Iterator[list[Job]]:
    for start in range(0, len(jobs), _BATCH):
        yield jobs[start:start + _BATCH]


def _beside(path: pathlib.Path, word: str) -> pathlib.Path:
    return path.with_name(f"{path.stem}-{word}.png")


def draw_grid(transfer: PoseTransfer, jobs: list[Job], prepared: Iterable[Prepared],
              enlarged: int) -> Image.Image:
    """A row for each source: the source with its pose, then each target pose and its result.

    Args:
      transfer: the model.
      jobs, prepared: what was painted, and from what.
      enlarged: how many times the model's size the results are; in that size they are shown, and
        results of the model's size 256 pixels high at least.
    """
    upscale = enlarged if enlarged > 1 else max(1, 256 // transfer.size[0])
    rows: dict[pathlib.Path, list[np.ndarray]] = {}
    for job, ready in zip(jobs, prepared, strict=True):
        height, width = (upscale * side for side in ready.window.size)

        def enlarge(picture, width=width, height=height):
            return np.asarray(Image.fromarray(picture).resize((width, height), Image.BICUBIC))

        if job.source not in rows:
            rows[job.source] = [enlarge(ready.cut(
                ready.source if ready.large is None else ready.large))]
        skeleton = draw_skeleton(np.zeros_like(ready.source), ready.target_pose, transfer.skeleton,
                                 upscale=upscale)
        rows[job.source] += [ready.cut(skeleton), enlarge(read_image(job.output))]
    drawn = [np.concatenate(row, axis=1) for row in rows.values()]
    widest = max(row.shape[1] for row in drawn)  # photos of several aspects
    return Image.fromarray(np.concatenate([
        np.pad(row, ((0, 0), (0, widest - row.shape[1]), (0, 0)), constant_values=255)
        for row in drawn]))
