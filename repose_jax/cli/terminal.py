"""What every command shares: it prints, parses options and keeps compiled programs."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from repose_jax.common.errors import UserError, printable
from repose_jax.common.events import Events
from repose_jax.common.files import user_folder
from repose_jax.common.ranges import check_fields

_LONGEST = 300
_MANY = 10_000  # pictures, from which on they are counted in thousands


def say(text: str) -> None:
    """Text on standard output, at once; what could steer the terminal, or has no place in its
    encoding, is shown by another sign, as names may hold both.

    Raises:
      UserError: nothing more can be written there.
    """
    if sys.stdout is None:  # closed by whoever started this
        return
    shown = "\n".join(map(printable, text.split("\n")))
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        print(shown.encode(encoding, "replace").decode(encoding), flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        raise UserError("standard output", f"cannot be written ({error.strerror})",
                        "make room, or send it elsewhere") from None


def drop_output() -> None:
    """Lets what standard output still holds go nowhere: Python would try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Terminal(Events):
    """Sentences on standard output; a bar, one stage at a time, on standard error."""

    def __init__(self) -> None:
        self._stage = ""
        self._bar: Any = None  # tqdm, which takes a while to import

    def tell(self, text: str) -> None:
        say(text)

    def progress(self, stage: str, done: int, total: int, **figures: str) -> None:
        if stage != self._stage or self._bar is None:
            self.close()
            if done >= total:
                return
            from tqdm import tqdm

            self._stage = stage
            self._bar = tqdm(desc=stage, initial=done, total=total, unit="image",
                             unit_scale=total >= _MANY, dynamic_ncols=True)
        self._bar.set_postfix(figures, refresh=False)
        self._bar.update(done - self._bar.n)
        if done >= total:
            self.close()

    def record(self, kind: str, facts: Mapping[str, Any]) -> None:
        if kind == "end":
            self.close()
        if kind in ("note", "resume", "end"):
            say(f"{kind}: " + ", ".join(f"{key} {value}" for key, value in facts.items()))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def parse(kind: Any, name: str, argv: Sequence[str], **extra) -> Any:
    """The options of a command, a dataclass; asked for help, tells it and ends the program.

    Raises:
      UserError: an option is unknown, missing, or not as its annotation says.
    """
    import tyro

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = tyro.cli(kind, prog=f"repose {name}", args=list(argv), **extra)
    except SystemExit as end:
        if not end.code:
            raise
        raise UserError(f"repose {name}", _first_part(said.getvalue()),
                        f"repose {name} --help lists the options") from None
    try:
        check_fields(options)
    except UserError as error:
        raise UserError(f"--{error.where}", error.what, error.mend) from None
    return options


def _first_part(text: str) -> str:
    """What is wrong, of the page in a frame, of lines or of ASCII, that the parser makes of it."""
    parts: list[list[str]] = [[]]
    for line in text.splitlines():
        words = line.strip("│| ")
        if not words.strip("─-+"):
            parts.append([])
        elif words[0] not in "╭╰":
            parts[-1].append(words)
    parts = [part for part in parts if part]
    if not text.startswith("╭"):  # in ASCII the title is a part by itself
        parts = parts[1:]
    return " ".join(parts[0])[:_LONGEST] if parts else "has wrong options"


def use_compilation_cache() -> None:
    """Keeps compiled programs in a per-user folder, so that the second start is quick.

    Where that cannot be written a note says so, and each start compiles anew.
    """
    import jax

    try:
        folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(
            user_folder("XDG_CACHE_HOME", ".cache") / "xla")
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, UserError) as error:
        why = f"in {folder} ({error.strerror})" if isinstance(error, OSError) else f"({error})"
        print(f"note: compiled programs cannot be kept {why}; each start compiles anew",
              file=sys.stderr)
        return
    jax.config.update("jax_compilation_cache_dir", folder)
