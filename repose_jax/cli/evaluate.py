"""`repose evaluate`."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from repose_jax.cli.provenance_options import ProvenanceOptions, seal_of
from repose_jax.cli.terminal import Terminal, parse, say, use_compilation_cache
from repose_jax.common.errors import UserError
from repose_jax.common.ranges import (
    Bodies, Cloth, Finite, Framing, Heads, Natural, Positive, Scene, Seed)
from repose_jax.models.sample_overrides import SampleOptions

if TYPE_CHECKING:
    from repose_jax.data.config import DataConfig
    from repose_jax.models.weights import Pretrained

_HUMAN_ART = "human-art"


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Score a model, a folder of pictures, a pose estimator, a field, a re-identification network or
    a first stage.

    Always on people it was never trained on.

    Attributes:
      model: a bundled model, a file, or the folder of a training run.
      images: in place of a model: folders of pictures that any program made, named
        <source>_2_<target>.png or .jpg, perhaps with _vis before the dot; with several, the others
        are compared with the first, picture by picture.
      data: "people", or a folder with a test split.
      protocol: score as a benchmark's papers do; see `docs/evaluation.md`. "human-art" scores
        pictures of several people by their poses, as HumanSD, and needs --images, named as the
        annotated pictures, --data, Human-Art's folder, and --detections.
      detections: COCO's results of keypoints (JSON) of your detector on the pictures, in their
        pixels, with the annotations' image_id; only for "human-art".
      held_out: score on as many of the training people as training with `--data.hold-out` of this
        number left out, in place of the test people; to choose settings by.
      pairs: how many pairs, the first of the data's list, or random where it has none; or a file
        that lists them, as the benchmarks have it.
      seed: of pairs, noise and intervals.
      sample: the sampler's settings.
      identities: how many people to render; only for "people".
      views: pictures of each; only for "people".
      scene: "view" for light and background that differ between a person's pictures, "person" for
        the same in all; only for "people".
      framing: "whole" for people from head to foot, "any" for parts of them, too; only for "people".
      cloth: "smooth"; "creased", with folds and more kinds of prints; or "loose", creased, often
        wide; only for "people".
      heads: "following" the trunk, mostly; "turning" aside, too; or "lifelike", turning, with faces as
        photos have them; only for "people".
      bodies: of "cones", or of "makehuman", MakeHuman's mesh (extra `bodies`); only for "people".
      all: print all scores; without it the few that decide, the files hold all.
      baselines: also score the trivial baselines.
      output: report as JSON; tables (.md, .tex), a page (.html) and the scores of each picture
        (-pictures.csv) are written beside it.
      sheet: contact sheet of 16 random pairs as PNG.
      save: folder for the model's pictures, named as --images reads them.
      judge: pose estimator that reads the pictures, so that their poses are scored too; by default
        the protocol's. "beside" for the poses that any detector left as x.json beside x.png.
      min_confidence: joints of the poses beside the pictures that have a lower confidence are
        missing; 0.3 by default.
      identity: re-identification network that says whom the pictures show; by default the
        protocol's.
      weights: folder of the published weights that LPIPS and FID need.
      denoiser: for a pose estimator: the model whose guesses it reads; by default that which it
        learnt from.
      provenance: content credentials of the pictures of --save.
    """

    data: str
    output: pathlib.Path
    model: str | None = None
    images: tuple[pathlib.Path, ...] = ()
    protocol: str | None = None
    detections: pathlib.Path | None = None
    held_out: Natural = 0
    pairs: str = "500"
    seed: Seed = 0
    sample: Annotated[SampleOptions, tyro.conf.arg(name="")] = SampleOptions()
    identities: Positive = 200
    views: Positive = 6
    scene: Scene = "view"
    framing: Framing = "whole"
    cloth: Cloth = "smooth"
    heads: Heads = "following"
    bodies: Bodies = "cones"
    all: bool = False
    baselines: bool = True
    sheet: pathlib.Path | None = None
    save: pathlib.Path | None = None
    judge: str | None = None
    min_confidence: Finite | None = None
    identity: str | None = None
    weights: pathlib.Path | None = None
    denoiser: str | None = None
    provenance: ProvenanceOptions = ProvenanceOptions()

    @property
    def count(self) -> int:
        """How many pairs, where they are not listed in a file."""
        if not self.pairs.isdigit():
            raise UserError("pairs", f"is {self.pairs}", "give a number")
        return int(self.pairs)


def evaluate(argv: Sequence[str]) -> int:
    """Score a model, a folder of pictures, an estimator, a field or a re-identification network."""
    options = parse(EvaluateOptions, "evaluate", argv)
    use_compilation_cache()
    from repose_jax.common.files import check_writable
    from repose_jax.data.config import DataConfig
    from repose_jax.models.weights import kind_of

    if options.output.suffix != ".json":
        raise UserError(options.output, "is not the name of a JSON file", "let it end in .json")
    if (options.model is None) == (not options.images):
        raise UserError("repose evaluate", "needs a model or a folder of images",
                        "give --model NAME or --images FOLDER")
    if options.min_confidence is not None and options.judge != "beside":
        raise UserError("--min-confidence", "is for the poses of --judge beside", "leave it out")
    kind = "model" if options.model is None else kind_of(options.model)
    if options.held_out and (kind != "model" or options.protocol == _HUMAN_ART):
        raise UserError("--held-out", "is for pictures of a dataset's pairs", "leave it out")
    if options.save is not None and (kind != "model" or options.model is None):
        raise UserError("save", "is for the pictures of a model", "give --model NAME")
    for folder in filter(None, (options.output.parent, options.sheet and options.sheet.parent,
                                options.save)):
        check_writable(folder)
    if options.protocol == _HUMAN_ART:
        return _human_art(options, "repose evaluate " + " ".join(argv))
    if options.detections is not None:
        raise UserError("--detections", f"is only for --protocol {_HUMAN_ART}", "leave it out")
    data = DataConfig(path=options.data, identities=options.identities, views=options.views,
                      scene=options.scene, framing=options.framing, cloth=options.cloth,
                      heads=options.heads, bodies=options.bodies, hold_out=options.held_out)
    scores = {"model": _pictures, "estimator": _estimator, "field": _field, "reid": _reid,
              "first-stage": _first_stage}
    if kind not in scores:
        raise UserError(options.model, f"holds a network of kind {kind}, for which there is no "
                        "evaluation", f"give one of kind {', '.join(scores)}")
    scores[kind](options, data, "repose evaluate " + " ".join(argv))
    return 0


def _write(options: EvaluateOptions, table: str, content: dict) -> None:
    from repose_jax.common.files import write_content
    from repose_jax.evaluation.report.report import write_json

    say(table)
    write_json(options.output, content)
    write_content(options.output.with_suffix(".md"), table)


def _network(options: EvaluateOptions, data: DataConfig, command: str,
             load: Callable[[str], Pretrained], score: Callable[[Pretrained], Any]) -> None:
    """Scores what is no model of pictures, and writes it."""
    assert options.model is not None  # its kind led here
    weights = load(options.model)
    scores = score(weights)
    _write(options, scores.markdown(), scores.to_dict() | {
        "model": {"name": weights.name, "sha256": weights.sha256, "facts": weights.facts},
        "data": dataclasses.asdict(data), "command": command})


def _estimator(options: EvaluateOptions, data: DataConfig, command: str) -> None:
    from repose_jax.evaluation.evaluators.pose_estimator import score_estimator
    from repose_jax.models.weights import load_estimator, load_model

    _network(options, data, command, load_estimator, lambda weights: score_estimator(
        weights, data, load_model(options.denoiser or weights.facts.get("denoiser", "")),
        count=options.count, seed=options.seed))


def _field(options: EvaluateOptions, data: DataConfig, command: str) -> None:
    from repose_jax.evaluation.evaluators.pose_field import score_field
    from repose_jax.models.weights import load_field

    _network(options, data, command, load_field, lambda weights: score_field(
        weights, data, count=options.count, seed=options.seed))


def _reid(options: EvaluateOptions, data: DataConfig, command: str) -> None:
    from repose_jax.evaluation.evaluators.reid import score_reid
    from repose_jax.models.weights import load_reid

    _network(options, data, command, load_reid, lambda weights: score_reid(
        weights, data, seed=options.seed))


def _first_stage(options: EvaluateOptions, data: DataConfig, command: str) -> None:
    from repose_jax.evaluation.evaluators.autoencoder import score_autoencoder
    from repose_jax.models.weights import load_autoencoder

    _network(options, data, command, load_autoencoder, lambda weights: score_autoencoder(
        weights, data, count=options.count, seed=options.seed))


def _human_art(options: EvaluateOptions, command: str) -> int:
    from repose_jax.evaluation.evaluators.human_art import HumanArtEvaluation

    for name in ("model", "sheet", "judge", "identity"):
        if getattr(options, name) is not None:
            raise UserError(f"--{name}", f"has no meaning for --protocol {_HUMAN_ART}",
                            "give --images, --data and --detections")
    if options.detections is None:
        raise UserError("repose evaluate", f"needs --detections for --protocol {_HUMAN_ART}",
                        "run a pose detector on the pictures and give its results")
    if len(options.images) != 1:
        raise UserError("--images", f"are {len(options.images)} folders", "give one")
    with contextlib.closing(Terminal()) as events:
        found = HumanArtEvaluation.of(
            options.images[0], options.data, options.detections, weights=options.weights,
            seed=options.seed, events=events)
    say(found.markdown())
    found.write(options.output, command)
    say(f"wrote {options.output} and {options.output.with_suffix('.html')}")
    return 0


def _pictures(options: EvaluateOptions, data, command: str) -> None:
    from repose_jax.evaluation.evaluators.pictures import PictureEvaluation, Wanted

    seal = None if options.save is None else seal_of(options.provenance, say)
    wanted = Wanted(
        model=options.model, images=options.images, data=data, protocol=options.protocol,
        pairs=options.pairs, seed=options.seed, baselines=options.baselines, judge=options.judge,
        min_confidence=options.min_confidence, identity=options.identity, weights=options.weights,
        sample=options.sample)
    with contextlib.closing(Terminal()) as events:
        found = PictureEvaluation.of(wanted, events)
    for note in found.notes:
        say(note)
    say(found.markdown() if options.all else found.summary())
    found.write(options.output, command)
    say(f"wrote {options.output} and {options.output.with_suffix('.html')}")
    if options.save is not None:
        found.save(options.save, seal)
        say(f"wrote {len(found.pairs)} pictures to {options.save}")
    if options.sheet is not None:
        found.write_sheet(options.sheet, 16)
        say(f"wrote {options.sheet}")
