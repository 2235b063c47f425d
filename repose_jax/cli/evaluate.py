"""`repose evaluate`."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Sequence

from repose_jax.cli.terminal import parse, say, use_compilation_cache
from repose_jax.errors import UserError
from repose_jax.guidance_options import GuidanceOptions, given


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Score a model, a pose estimator or a field on people it was never trained on.

    Attributes:
      model: a bundled model, a file, or the folder of a training run.
      data: "people", or a folder with a test split.
      pairs: how many pairs; the first of the data's list, or random where it has none.
      seed: of pairs, noise and intervals.
      steps: evaluations of the denoiser; by default the model's own.
      source_weight: weight of the source in classifier-free guidance; by default the model's own.
      guidance: gradient guidance; what is not given is the model's own.
      identities: how many people to render; only for "people".
      views: pictures of each; only for "people".
      baselines: also score the trivial baselines.
      output: report as JSON; a Markdown table is written beside it.
      sheet: contact sheet of 16 random pairs as PNG.
      judge: pose estimator that reads the model's pictures, so that their poses are scored too.
      denoiser: for a pose estimator: the model whose guesses it reads; by default that which it
        learnt from.
    """

    model: str
    data: str
    output: pathlib.Path
    pairs: int = 500
    seed: int = 0
    steps: int | None = None
    source_weight: float | None = None
    guidance: GuidanceOptions = GuidanceOptions()
    identities: int = 200
    views: int = 6
    baselines: bool = True
    sheet: pathlib.Path | None = None
    judge: str | None = None
    denoiser: str | None = None


def evaluate(argv: Sequence[str]) -> int:
    """Score a model, an estimator or a field on held-out people."""
    options = parse(EvaluateOptions, "evaluate", argv)
    use_compilation_cache()
    from repose_jax.config import DataConfig
    from repose_jax.files import check_writable
    from repose_jax.model_file import kind_of
    from repose_jax.pipeline import check_seed

    if options.output.suffix != ".json":
        raise UserError(options.output, "is not the name of a JSON file", "let it end in .json")
    kind = kind_of(options.model)
    check_seed(options.seed)
    for path in filter(None, (options.output, options.sheet)):
        check_writable(path.parent)
    data = DataConfig(path=options.data, identities=options.identities, views=options.views)
    score = {"model": _model, "estimator": _estimator, "field": _field}[kind]
    score(options, data, "repose evaluate " + " ".join(argv))
    return 0


def _write(options: EvaluateOptions, table: str, content: dict) -> None:
    from repose_jax.evaluation.report import write_json
    from repose_jax.files import write_whole

    say(table)
    write_json(options.output, content)
    write_whole(options.output.with_suffix(".md"), lambda file: file.write(table.encode()))


def _estimator(options: EvaluateOptions, data, command: str) -> None:
    from repose_jax.guide_evaluator import score_estimator
    from repose_jax.guide_file import load_estimator
    from repose_jax.model_file import load_model

    weights = load_estimator(options.model)
    denoiser = load_model(options.denoiser or weights.facts.get("denoiser", ""))
    scores = score_estimator(weights, data, denoiser, count=options.pairs, seed=options.seed)
    _write(options, scores.markdown(), scores.to_dict() | {
        "model": {"name": weights.name, "sha256": weights.sha256, "facts": weights.facts},
        "data": dataclasses.asdict(data), "command": command})


def _field(options: EvaluateOptions, data, command: str) -> None:
    from repose_jax.guide_evaluator import score_field
    from repose_jax.guide_file import load_field

    weights = load_field(options.model)
    scores = score_field(weights, data, count=options.pairs, seed=options.seed)
    _write(options, scores.markdown(), scores.to_dict() | {
        "model": {"name": weights.name, "sha256": weights.sha256, "facts": weights.facts},
        "data": dataclasses.asdict(data), "command": command})


def _model(options: EvaluateOptions, data, command: str) -> None:
    from repose_jax.evaluation.contact_sheet import contact_sheet
    from repose_jax.evaluation.report import markdown
    from repose_jax.evaluator import evaluate as score
    from repose_jax.evaluator import sheet_rows
    from repose_jax.model_file import load_model
    from repose_jax.trainer import open_data

    loaded = load_model(options.model)
    sample = dataclasses.replace(
        loaded.sample, guidance=options.guidance.over(loaded.sample.guidance),
        **given(options, "steps", "source_weight"))
    sample.check(loaded.model.config.schedule.steps)
    test = open_data(data, loaded.model.config.network, "test")
    others = open_data(data, loaded.model.config.network, "train") if options.baselines else None
    for note in test.notes:
        say(note)

    def progress(stage: str, done: int, total: int) -> None:
        print(f"\r{stage} {done}/{total}", end="\n" if done >= total else "", file=sys.stderr)

    found = score(loaded, test, others, count=options.pairs, seed=options.seed, sample=sample,
                  judge=options.judge, progress=progress)
    table = (markdown(found.reports) + "\nDenoising loss (mean squared error of x0):\n\n"
             + found.denoising.markdown())
    _write(options, table, {
        "model": {"name": loaded.name, "sha256": loaded.sha256, "facts": loaded.facts},
        "data": dataclasses.asdict(data), "sample": dataclasses.asdict(sample),
        "command": command, "seconds_per_picture": found.seconds_per_picture,
        "reports": [report.to_dict() for report in found.reports],
        "denoising": found.denoising.to_dict()})
    if options.sheet is not None:
        contact_sheet(sheet_rows(test, found, 16, options.seed), test.skeleton, options.sheet)
        say(f"wrote {options.sheet}")
