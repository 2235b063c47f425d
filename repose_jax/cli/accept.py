"""`repose accept`."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Literal

from repose_jax.cli.provenance_options import ProvenanceOptions, seal_of
from repose_jax.cli.terminal import Terminal, parse, say, use_compilation_cache
from repose_jax.common.errors import UserError
from repose_jax.common.ranges import Finite, Positive, Seed


@dataclasses.dataclass(frozen=True)
class AcceptOptions:
    """Repaint your own pictures, judge the results against limits, say pass or fail.

    Exit code 0 where enough pass, 1 where not.

    Attributes:
      images: folder of photos; the pose of each lies beside it or is estimated.
      output: the report, a page (.html); numbers are written beside it (.json).
      poses: files of the poses to paint; by default those of the other photos.
      thresholds: TOML with limits: pose_error, identity, color, detail, detail_most, share.
      model: a bundled model, a model file, or the folder of a training run.
      judge: pose estimator that reads the results; it must not be the one that guides. By default
        a bundled one that suits the model, judge-market1501 for market1501.
      identity: re-identification network that compares the people; "" leaves identity out.
      per_image: poses for each photo, at most.
      min_confidence: joints of pose files that have a lower confidence are missing; 0.3 by default.
      seed: of the noise.
      language: of the page.
      save: folder for the pictures themselves, with a list of them, manifest.jsonl.
      provenance: content credentials of the pictures of --save.
    """

    images: pathlib.Path
    output: pathlib.Path
    poses: tuple[pathlib.Path, ...] = ()
    thresholds: pathlib.Path | None = None
    model: str = "market1501"
    judge: str = ""
    identity: str = "reid-market1501"
    per_image: Positive = 3
    min_confidence: Finite | None = None
    seed: Seed = 0
    language: Literal["en", "ja"] = "en"
    save: pathlib.Path | None = None
    provenance: ProvenanceOptions = ProvenanceOptions()


def accept(argv: Sequence[str]) -> int:
    """Check a model on your own pictures against limits; a report for everybody."""
    options = parse(AcceptOptions, "accept", argv)
    use_compilation_cache()
    from repose_jax.common.files import check_writable, write_content
    from repose_jax.evaluation.report.report import write_json
    from repose_jax.inference.pipeline import PoseTransfer
    from repose_jax.pose.formats import read_pose, read_poses
    from repose_jax.studies.acceptance import Judges, accept, pictures_in
    from repose_jax.studies.acceptance_limits import Thresholds, read_thresholds
    from repose_jax.studies.acceptance_page import page
    from repose_jax.studies.acceptance_pictures import save_pictures

    if options.output.suffix != ".html":
        raise UserError(options.output, "is not the name of a page", "let it end in .html")
    if options.per_image < 1:
        raise UserError("per-image", f"is {options.per_image}", "give 1 or more")
    thresholds = read_thresholds(options.thresholds) if options.thresholds else Thresholds()
    images = pictures_in(options.images)
    reading = {"min_confidence": options.min_confidence}
    targets = [read_pose(path, row=picture, **reading) for path in options.poses
               for picture in dict.fromkeys(read_poses(path, **reading).pictures)]
    transfer = PoseTransfer.load(options.model)
    transfer.min_confidence = options.min_confidence
    judges = Judges.load(transfer, options.judge, options.identity)
    seal = None if options.save is None else seal_of(options.provenance, say)
    for folder in {options.output.parent, options.save} - {None}:
        check_writable(folder)

    with contextlib.closing(Terminal()) as events:
        found = accept(transfer, images, targets, judges=judges, thresholds=thresholds,
                       per_image=options.per_image, seed=options.seed,
                       consent=options.provenance.consent, events=events)
    command = "repose accept " + " ".join(argv)
    text = page(found, transfer.skeleton, command, options.language)
    write_json(options.output.with_suffix(".json"), found.to_dict() | {"command": command})
    write_content(options.output, text)
    if options.save is not None:
        save_pictures(found.results, options.images, options.save, seal)
    for why in found.refused.values():
        say(f"not used: {why}")
    say(f"{'accepted' if found.accepted else 'not accepted'}: {found.passed} of "
        f"{found.asked} pass ({found.share:.0%}, "
        f"{thresholds.share:.0%} were asked for)")
    if options.save is not None:
        say(f"wrote {len(found.results)} pictures to {options.save}")
    say(f"wrote {options.output}")
    return 0 if found.accepted else 1
