"""`repose`: what a user types. Each command is a dataclass of its options and a function.

A user's mistake is one line on standard error and exit code 2; this module owns that, and all
printing.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import tyro
from tqdm import tqdm

from repose_jax.config import ExperimentConfig
from repose_jax.errors import UserError

PRESETS = ("people", "market1501", "tiny", "base")

Name = tyro.conf.Positional[str]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(_usage())
        return 0 if argv else 2
    try:
        if argv[0] == "data" and argv[1:2] in ([], ["-h"], ["--help"]):
            _say("usage: repose data {build,check} ...")
            return 0 if argv[1:] else 2
        words = 2 if argv[0] == "data" else 1
        name = " ".join(argv[:words])
        if name not in COMMANDS:
            raise UserError(f"repose {name}", "is not a command",
                            f"choose one of {', '.join(COMMANDS)}")
        return COMMANDS[name](argv[words:])
    except UserError as error:
        print(f"repose: error: {error}", file=sys.stderr)
        return 2


def _usage() -> str:
    lines = ["usage: repose COMMAND ... (repose COMMAND --help tells its options)", ""]
    lines += [f"  {name:12} {run.__doc__.splitlines()[0]}" for name, run in COMMANDS.items()]
    return "\n".join(lines)


def _say(text: str) -> None:
    print(text, flush=True)


def _parse(kind: Any, name: str, argv: Sequence[str], **extra) -> Any:
    return tyro.cli(kind, prog=f"repose {name}", args=list(argv), **extra)


def use_compilation_cache() -> None:
    """Keeps compiled programs in a per-user folder, so that the second start is quick."""
    import jax

    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or os.path.join(base, "repose_jax", "xla")
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)


def transfer(argv: Sequence[str]) -> int:
    """Paint the person of a photo in another pose."""
    from repose_jax.transfer import TransferOptions, run

    options = _parse(TransferOptions, "transfer", argv)
    use_compilation_cache()
    run(options, _say, lambda total: tqdm(total=total, unit="picture"))
    return 0


def _preset(argv: Sequence[str], command: str):
    if not argv or argv[0].startswith("-"):
        if argv and argv[0] in ("-h", "--help"):
            _say(f"usage: repose {command} {{{','.join(PRESETS)}}} [options]; "
                 f"repose {command} people --help lists them")
            raise SystemExit(0)
        raise UserError(f"repose {command}", "needs a preset",
                        f"choose one of {', '.join(PRESETS)}")
    if argv[0] not in PRESETS:
        raise UserError(argv[0], "is not a preset", f"choose one of {', '.join(PRESETS)}")
    module = importlib.import_module(f"repose_jax.experiments.presets.{argv[0]}")
    return module.CONFIG, list(argv[1:])


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Train a preset, every field overridable; resumes where it stopped.

    Attributes:
      config: the preset.
      output: folder for checkpoints, log, loss curve, samples and the model file.
      init: start from a model: a bundled name, a file, or the folder of a run.
    """

    config: Annotated[ExperimentConfig, tyro.conf.arg(name="")]
    output: pathlib.Path
    init: str | None = None


def train(argv: Sequence[str]) -> int:
    """Train a preset, every field overridable; resumes where it stopped."""
    use_compilation_cache()
    preset, rest = _preset(argv, "train")
    options = _parse(TrainOptions, f"train {argv[0]}", rest,
                     default=TrainOptions(config=preset, output=tyro.MISSING))
    from repose_jax.trainer import run

    def tell(name: str, facts: dict) -> None:
        if name in ("note", "resume", "end"):
            _say(f"{name}: " + ", ".join(f"{key} {value}" for key, value in facts.items()))

    path = run(options.config, options.output, init=options.init, on_event=tell)
    _say(f"wrote {path}")
    return 0


def show_config(argv: Sequence[str]) -> int:
    """Print a preset with its overrides, its parameters and memory, without training."""
    preset, rest = _preset(argv, "show-config")
    config = _parse(ExperimentConfig, f"show-config {argv[0]}", rest, default=preset)
    import jax

    from repose_jax.config import to_dict
    from repose_jax.model import RePoseModel

    shapes = jax.eval_shape(RePoseModel(config.model).init, jax.random.key(0))
    count = {part: sum(leaf.size for leaf in jax.tree.leaves(tree))
             for part, tree in shapes.items()}
    total = sum(count.values())
    _say(json.dumps(to_dict(config) | {"parameters": count | {"total": total}}, indent=2))
    # Parameters, their average and two moments of Adam, float32.
    _say(f"{total:,} parameters; training state {4 * 4 * total / 2**20:,.0f} MiB")
    return 0


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Score a model on people it was never trained on.

    Attributes:
      model: a bundled model, a model file, or the folder of a training run.
      data: "people", or a folder with a test split.
      pairs: how many pairs; the first of the data's list, or random where it has none.
      seed: of pairs, noise and intervals.
      steps: evaluations of the denoiser; by default the model's own.
      source_weight: weight of the source in classifier-free guidance; by default the model's own.
      identities: how many people to render; only for "people".
      views: pictures of each; only for "people".
      baselines: also score the trivial baselines.
      output: report as JSON; a Markdown table is written beside it.
      sheet: contact sheet of 16 random pairs as PNG.
    """

    model: str
    data: str
    output: pathlib.Path
    pairs: int = 500
    seed: int = 0
    steps: int | None = None
    source_weight: float | None = None
    identities: int = 200
    views: int = 6
    baselines: bool = True
    sheet: pathlib.Path | None = None


def evaluate(argv: Sequence[str]) -> int:
    """Score a model on held-out people, beside the trivial baselines."""
    options = _parse(EvaluateOptions, "evaluate", argv)
    use_compilation_cache()
    from repose_jax.config import DataConfig
    from repose_jax.evaluation.contact_sheet import contact_sheet
    from repose_jax.files import check_writable, write_whole
    from repose_jax.evaluation.report import markdown, write_json
    from repose_jax.evaluator import evaluate as score
    from repose_jax.evaluator import sheet_rows
    from repose_jax.model_file import load_model
    from repose_jax.pipeline import check_seed
    from repose_jax.trainer import open_data

    if options.output.suffix != ".json":
        raise UserError(options.output, "is not the name of a JSON file", "let it end in .json")
    loaded = load_model(options.model)
    sample = dataclasses.replace(
        loaded.sample, **{name: value for name in ("steps", "source_weight")
                          if (value := getattr(options, name)) is not None})
    sample.check(loaded.model.config.schedule.steps)
    check_seed(options.seed)
    for path in filter(None, (options.output, options.sheet)):
        check_writable(path.parent)
    data = DataConfig(path=options.data, identities=options.identities, views=options.views)
    test = open_data(data, loaded.model.config.network, "test")
    others = open_data(data, loaded.model.config.network, "train") if options.baselines else None
    for note in test.notes:
        _say(note)

    def progress(stage: str, done: int, total: int) -> None:
        print(f"\r{stage} {done}/{total}", end="\n" if done >= total else "", file=sys.stderr)

    found = score(loaded, test, others, count=options.pairs, seed=options.seed, sample=sample,
                  progress=progress)
    table = (markdown(found.reports) + "\nDenoising loss (mean squared error of x0):\n\n"
             + found.denoising.markdown())
    _say(table)
    write_json(options.output, {
        "model": {"name": loaded.name, "sha256": loaded.sha256, "facts": loaded.facts},
        "data": dataclasses.asdict(data), "sample": dataclasses.asdict(sample),
        "command": "repose evaluate " + " ".join(argv),
        "seconds_per_picture": found.seconds_per_picture,
        "reports": [report.to_dict() for report in found.reports],
        "denoising": found.denoising.to_dict()})
    write_whole(options.output.with_suffix(".md"), lambda file: file.write(table.encode()))
    if options.sheet is not None:
        contact_sheet(sheet_rows(test, found, 16, options.seed), test.skeleton, options.sheet)
        _say(f"wrote {options.sheet}")
    return 0


@dataclasses.dataclass(frozen=True)
class BuildOptions:
    """Write a dataset as array_record files, pictures decoded and resized once.

    Attributes:
      name: "people" or "market1501".
      output: folder that gets NAME/CONFIG/VERSION.
      source: folder of the Market-1501 pictures.
      identities: people to render for training; only for "people".
      views: pictures of each; only for "people".
    """

    name: Name
    output: pathlib.Path
    source: pathlib.Path | None = None
    identities: int | None = None
    views: int | None = None


def data_build(argv: Sequence[str]) -> int:
    """Write a dataset as array_record files."""
    options = _parse(BuildOptions, "data build", argv)
    from repose_jax.data.build import build

    extra = {name: value for name in ("identities", "views")
             if (value := getattr(options, name)) is not None}
    path = build(options.name, options.output, source=options.source, progress=True, **extra)
    _say(f"wrote {path}")
    return 0


@dataclasses.dataclass(frozen=True)
class CheckOptions:
    """Look through a dataset's folder for what would hurt training.

    Attributes:
      folder: in the Market-1501 layout, a plain one, or a built dataset.
    """

    folder: tyro.conf.Positional[pathlib.Path]


def data_check(argv: Sequence[str]) -> int:
    """Tell what is wrong with a dataset's folder; exit code 1 if anything is."""
    options = _parse(CheckOptions, "data check", argv)
    from repose_jax.data.check import check_folder

    findings = check_folder(options.folder)
    for finding in findings:
        _say(str(finding))
    _say(f"{options.folder}: {len(findings) or 'no'} finding{'s' * (len(findings) != 1)}")
    return 1 if findings else 0


@dataclasses.dataclass(frozen=True)
class ModelsOptions:
    """List the models that ship with the package, or print a model's card.

    Attributes:
      name: the model whose card is wanted.
    """

    name: tyro.conf.Positional[str | None] = None


def models(argv: Sequence[str]) -> int:
    """List the models that ship with the package, or print one's card."""
    options = _parse(ModelsOptions, "models", argv)
    from repose_jax.model_file import bundled, card

    if options.name is not None:
        _say(card(options.name))
        return 0
    for name, path in bundled().items():
        _say(f"{name:12} {path.stat().st_size / 1e6:.1f} MB  {card(name).splitlines()[2]}")
    return 0


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "transfer": transfer, "train": train, "evaluate": evaluate, "data build": data_build,
    "data check": data_check, "models": models, "show-config": show_config}


if __name__ == "__main__":
    sys.exit(main())
