"""`repose train` and `repose show-config`."""

from __future__ import annotations

import dataclasses
import importlib
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import tyro

from repose_jax.cli.terminal import parse, say, use_compilation_cache
from repose_jax.common.errors import UserError

PRESETS = ("people", "market1501", "tiny", "base",
           "estimator-people", "estimator-market1501", "judge-people", "judge-market1501",
           "field-people", "field-market1501", "reid-market1501",
           "painter-people", "painter-market1501", "sharp-painter-people",
           "sharp-painter-market1501", "refiner-people", "refiner-market1501")

Config = TypeVar("Config")


class Work(NamedTuple):
    """How a kind of preset is trained.

    Attributes:
      run: trains it; the arguments are those of `repose_jax.tasks.pose_transfer.run`.
      init: makes its fresh parameters from a key.
    """

    run: Callable[..., pathlib.Path]
    init: Callable[[Any], Any]


def work_of(preset: Any) -> Work:
    """What trains a preset, by the type of its configuration."""
    match type(preset).__name__:
        case "EstimatorExperiment":
            from repose_jax.networks.pose_estimator import fresh_estimator
            from repose_jax.tasks.pose_estimator import run
            return Work(run, fresh_estimator(preset.estimator))
        case "FieldExperiment":
            from repose_jax.networks.pif import fresh_field
            from repose_jax.tasks.pose_field import run
            return Work(run, fresh_field(preset.field))
        case "ReidExperiment":
            from repose_jax.networks.reid import fresh_reid
            from repose_jax.tasks.reid import run
            return Work(run, fresh_reid(preset.reid))
        case "PainterExperiment":
            from repose_jax.tasks.painter import fresh, run
            return Work(run, fresh(preset))
        case _:
            from repose_jax.models.pose_transfer import RePoseModel
            from repose_jax.tasks.pose_transfer import run
            return Work(run, RePoseModel(preset.model).init)


def _preset(argv: Sequence[str], command: str):
    if not argv or argv[0].startswith("-"):
        if argv and argv[0] in ("-h", "--help"):
            say(f"usage: repose {command} {{{','.join(PRESETS)}}} [options]; "
                f"repose {command} people --help lists them")
            raise SystemExit(0)
        raise UserError(f"repose {command}", "needs a preset",
                        f"choose one of {', '.join(PRESETS)}")
    if argv[0] not in PRESETS:
        raise UserError(argv[0], "is not a preset", f"choose one of {', '.join(PRESETS)}")
    name = argv[0].replace("-", "_")
    module = importlib.import_module(f"repose_jax.experiments.presets.{name}")
    return module.CONFIG, list(argv[1:])


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions(Generic[Config]):
    """Train a preset, every field overridable; resumes where it stopped.

    Attributes:
      config: the preset.
      output: folder for checkpoints, log, loss curve, samples and the model file.
      init: start from a model: a bundled name, a file, or the folder of a run.
    """

    config: Annotated[Config, tyro.conf.arg(name="")]
    output: pathlib.Path
    init: str | None = None


def train(argv: Sequence[str]) -> int:
    """Train a preset, every field overridable; resumes where it stopped."""
    use_compilation_cache()
    preset, rest = _preset(argv, "train")
    options = parse(TrainOptions[type(preset)], f"train {argv[0]}", rest,
                    default=TrainOptions(config=preset, output=tyro.MISSING))

    def tell(name: str, facts: dict) -> None:
        if name in ("note", "resume", "end"):
            say(f"{name}: " + ", ".join(f"{key} {value}" for key, value in facts.items()))

    path = work_of(preset).run(options.config, options.output, init=options.init, on_event=tell)
    say(f"wrote {path}")
    return 0


def show_config(argv: Sequence[str]) -> int:
    """Print a preset with its overrides, its parameters and memory, without training."""
    preset, rest = _preset(argv, "show-config")
    config = parse(type(preset), f"show-config {argv[0]}", rest, default=preset)
    import jax

    from repose_jax.common.fields import to_dict

    shapes = jax.eval_shape(work_of(config).init, jax.random.key(0))
    count = {part: sum(leaf.size for leaf in jax.tree.leaves(tree))
             for part, tree in shapes.items()}
    total = sum(count.values())
    say(json.dumps(to_dict(config) | {"parameters": count | {"total": total}}, indent=2))
    # Parameters, their average and two moments of Adam, float32.
    say(f"{total:,} parameters; training state {4 * 4 * total / 2**20:,.0f} MiB")
    return 0
