"""The runs in a folder, as their files tell of them; nothing of them is changed."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any, Literal

from repose_jax.common.errors import UserError
from repose_jax.common.lock import in_use
from repose_jax.training import validation
from repose_jax.training.log import TrainingLog

_DEEPEST = 4


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """A run.

    Attributes:
      folder: of the run.
      state: "running" while a process has it; else "finished" where all images that the newest
        checkpoint knows of were seen, or "stopped", also by a kill.
      images: seen, as the log or the newest checkpoint has them, whichever is further.
      total_images: asked for; None before the first checkpoint.
      losses: of the log's rows, oldest first.
      best: the lowest loss on held-out people; None without.
      images_per_s: of the last row; None where that has none.
      seen: when it last wrote a row or a checkpoint, seconds since 1970.
    """

    folder: pathlib.Path
    state: Literal["running", "finished", "stopped"]
    images: int
    total_images: int | None
    losses: tuple[float, ...]
    best: float | None
    images_per_s: float | None
    seen: float


def runs_in(folder: str | os.PathLike[str]) -> list[RunFacts]:
    """The runs in a folder and the folders in it, the newest first.

    Raises:
      UserError: it is no folder, or cannot be read.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UserError(folder, "is no folder", "give the folder that runs were written into")
    try:
        found = [_facts(path) for path in _run_folders(folder, _DEEPEST)]
    except OSError as error:
        raise UserError(error.filename or folder, f"cannot be read ({error.strerror})",
                        "give a folder of your own") from None
    return sorted(found, key=lambda run: -run.seen)


def _run_folders(folder: pathlib.Path, deep: int) -> Iterator[pathlib.Path]:
    if (folder / "log.jsonl").is_file():
        yield folder
    elif deep:
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                yield from _run_folders(path, deep - 1)


def _facts(folder: pathlib.Path) -> RunFacts:
    rows = [row for row in TrainingLog(folder).rows() if _is_row(row)]
    held_out = [row["loss"] for row in TrainingLog(folder, validation.FILE_NAME).rows()
                if _is_row(row)]
    images, total, saved = _newest_checkpoint(folder / "checkpoints")
    images = max([images, *(row["images"] for row in rows[-1:])])
    done = total is not None and images >= total
    state: Literal["running", "finished", "stopped"] = (
        "running" if in_use(folder) else "finished" if done else "stopped")
    return RunFacts(
        folder, state, images, total, tuple(float(row["loss"]) for row in rows),
        min(held_out, default=None), rows[-1].get("images_per_s") if rows else None,
        max((folder / "log.jsonl").stat().st_mtime, saved))


def _is_row(row: dict[str, Any]) -> bool:
    return isinstance(row.get("loss"), (int, float))


def _newest_checkpoint(folder: pathlib.Path) -> tuple[int, int | None, float]:
    """(images seen, images asked for, when it was written) of the newest; (0, None, 0) without."""
    steps = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    if not steps:
        return 0, None, 0.0
    newest = folder / str(max(steps))
    try:
        saved = json.loads((newest / "metadata" / "metadata").read_text(encoding="utf-8"))
        total = int(saved["extra"]["loop"]["total_images"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        total = None  # damaged, or from before it was kept
    return max(steps), total, newest.stat().st_mtime
