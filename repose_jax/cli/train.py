"""`repose train` and `repose show-config`."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar

import tyro

from repose_jax.cli.presets import load_preset, preset_names
from repose_jax.cli.terminal import Terminal, parse, say, use_compilation_cache
from repose_jax.common.errors import UserError
from repose_jax.common.events import Several
from repose_jax.common.fields import to_dict
from repose_jax.common.memory import keep_memory
from repose_jax.training.distributed import (
    DistributedConfig, is_first, joined, tells_of_a_lost_process)
from repose_jax.training.stderr_relay import LINE
from repose_jax.training.trackers import Name, tracker

PACKAGE, ATTRIBUTE = "repose_jax.experiments.presets", "CONFIG"

Config = TypeVar("Config")


def preset_of(argv: Sequence[str], command: str) -> tuple[Any, list[str]]:
    """The experiment that the first word names, and the other words."""
    if argv and not argv[0].startswith("-"):
        config = load_preset(argv[0], PACKAGE, ATTRIBUTE)
        if not dataclasses.is_dataclass(config) or not hasattr(config, "task"):
            raise UserError(argv[0], f"has a {ATTRIBUTE} that is no experiment",
                            "give a dataclass with a method task, see docs/contributing.md")
        return config, list(argv[1:])
    names = preset_names(PACKAGE, ATTRIBUTE)
    if argv and argv[0] in ("-h", "--help"):
        say(f"usage: repose {command} {{{','.join(names)}}} [options], or the path of a preset; "
            f"repose {command} people --help lists them")
        raise SystemExit(0)
    raise UserError(f"repose {command}", "needs a preset", f"choose one of {', '.join(names)}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions(Generic[Config]):
    """Train a preset, every field overridable; resumes where it stopped.

    Attributes:
      config: the preset, of the package or of a file of yours.
      output: folder for checkpoints, log, loss curve, samples and the model file.
      init: start from a model: a bundled name, a file, or the folder of a run.
      track: also tell the log's figures to "tensorboard" (files in the folder) or "wandb"; extras of
        the package.
      distributed: how several processes that train together find each other.
    """

    config: Annotated[Config, tyro.conf.arg(name="")]
    output: pathlib.Path
    init: str | None = None
    track: tuple[Name, ...] = ()
    distributed: DistributedConfig = DistributedConfig()


def train(argv: Sequence[str]) -> int:
    """Train a preset, every field overridable; resumes where it stopped."""
    keep_memory()
    use_compilation_cache()
    preset, rest = preset_of(argv, "train")
    from repose_jax.tasks.fit import fit

    options = parse(TrainOptions[type(preset)],  # type: ignore[misc]  # known only now
                    f"train {argv[0]}", rest,
                    default=TrainOptions(config=preset, output=tyro.MISSING))

    events = Several([Terminal(), *(tracker(name, options.output, to_dict(options.config))
                                    for name in dict.fromkeys(options.track))])

    with joined(options.distributed):
        try:
            path = fit(options.config.task(options.init), options.output, events=events)
        except Exception as error:
            _end_alone(error)
            raise
        finally:
            events.close()
        if is_first():
            say(f"wrote {path}")
    return 0


def _end_alone(error: Exception) -> None:
    """Ends a process of several at once: on its way out it would wait for the others, and they for
    it."""
    import jax

    if jax.process_count() == 1:
        return
    if isinstance(error, UserError):
        print(f"repose: error: {error}", file=sys.stderr, flush=True)
        os._exit(2)
    if tells_of_a_lost_process(error):
        os.write(2, LINE)
    else:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)


def show_config(argv: Sequence[str]) -> int:
    """Print a preset with its overrides, its parameters and memory, without training."""
    preset, rest = preset_of(argv, "show-config")
    config = parse(type(preset), f"show-config {argv[0]}", rest, default=preset)
    import jax

    shapes = jax.eval_shape(config.task().init, jax.random.key(0))
    count = {part: sum(leaf.size for leaf in jax.tree.leaves(tree))
             for part, tree in shapes.items()}
    total = sum(count.values())
    say(json.dumps(to_dict(config) | {"parameters": count | {"total": total}}, indent=2))
    # Parameters, their average and two moments of Adam, float32.
    say(f"{total:,} parameters; training state {4 * 4 * total / 2**20:,.0f} MiB")
    return 0
