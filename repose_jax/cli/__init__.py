"""`repose`: what a user types. Each command is a dataclass of its options and a function.

A user's mistake is one line on standard error and exit code 2; this package owns that, and all
printing.
"""

from __future__ import annotations

import ast
import importlib
import pathlib
import sys
from collections.abc import Callable, Sequence

from repose_jax.cli.terminal import drop_output, say
from repose_jax.common.errors import UserError

# Command -> where its function is; modules are imported when their command runs.
COMMANDS = {
    "transfer": "transfer:transfer", "pose": "pose:pose", "train": "train:train",
    "verify": "provenance:verify", "provenance init": "provenance:provenance_init",
    "app": "app:app", "evaluate": "evaluate:evaluate", "accept": "accept:accept",
    "ablate": "ablate:ablate",
    "augment-reid": "augment_reid:augment_reid", "data build": "data:data_build",
    "data check": "data:data_check", "data show": "data:data_show",
    "study build": "study:study_build", "study serve": "study:study_serve",
    "study score": "study:study_score",
    "import pidm": "import_weights:import_pidm",
    "import autoencoder": "import_weights:import_autoencoder", "export": "export:export",
    "bench": "bench:bench", "models": "models:models", "runs": "runs:runs", "plan": "plan:plan",
    "show-config": "train:show_config"}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code, 130 where it was interrupted."""
    try:
        try:
            code = _run(list(sys.argv[1:] if argv is None else argv))
        except SystemExit as end:  # the parser's, after it has told its help
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if sys.stdout is not None:  # not closed by whoever started this
            sys.stdout.flush()
        return code
    except UserError as error:
        print(f"repose: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        drop_output()  # whoever read this, such as `head`, has enough
        return 141


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        say(_usage())
        return 0 if argv else 2
    following = _second_words(argv[0])
    if following and argv[1:2] in ([], ["-h"], ["--help"]):
        say(f"usage: repose {argv[0]} {{{','.join(following)}}} ...")
        return 0 if argv[1:] else 2
    words = 2 if following else 1
    name = " ".join(argv[:words])
    if name not in COMMANDS:
        raise UserError(f"repose {name}", "is not a command",
                        f"choose one of {', '.join(COMMANDS)}")
    return _command(name)(argv[words:])


def _second_words(first: str) -> list[str]:
    """The second words of a command of two words; empty for a command of one."""
    return [name.split()[1] for name in COMMANDS if name.startswith(f"{first} ")]


def _command(name: str) -> Callable[[Sequence[str]], int]:
    module, function = COMMANDS[name].split(":")
    return getattr(importlib.import_module(f"repose_jax.cli.{module}"), function)


def _usage() -> str:
    lines = ["usage: repose COMMAND ... (repose COMMAND --help tells its options)", ""]
    lines += [f"  {name:12} {_first_line(name)}" for name in COMMANDS]
    return "\n".join(lines)


def _first_line(name: str) -> str:
    """What a command does; read off its file, as importing all of them takes seconds."""
    module, function = COMMANDS[name].split(":")
    tree = ast.parse(pathlib.Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8"))
    found = next(node for node in tree.body
                 if isinstance(node, ast.FunctionDef) and node.name == function)
    return (ast.get_docstring(found) or "").partition("\n")[0]
