"""The record of a run: its metrics, a line of JSON a time, and a picture of the loss."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from repose_jax.common.files import cannot_write, write_content


class TrainingLog:
    """`log.jsonl`, or rows of another name, and `loss.png` in a folder. Each row has "images"."""

    def __init__(self, folder: str | os.PathLike[str], name: str = "log.jsonl"):
        self._path = pathlib.Path(folder) / name
        self._plot = pathlib.Path(folder) / "loss.png"

    def append(self, row: Mapping[str, Any]) -> None:
        """Adds a row, on disk when this returns."""
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(self._path, error) from None

    def rows(self) -> list[dict[str, Any]]:
        """All complete rows; a line cut off by a kill, or damaged, is left out."""
        if not self._path.exists():
            return []
        rows = []
        for line in self._path.read_bytes().splitlines():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict) and isinstance(row.get("images"), int):
                rows.append(row)
        return rows

    def cut(self, images: int) -> None:
        """Drops the rows past `images`: a resumed run will write them again."""
        kept = [row for row in self.rows() if row["images"] <= images]
        text = "".join(json.dumps(row) + "\n" for row in kept)
        write_content(self._path, text)

    def plot(self, validation: Sequence[Mapping[str, Any]] = ()) -> None:
        """Draws the loss over images, both axes readable whatever the range.

        Args:
          validation: rows of the loss on held-out people, to be drawn beside it.
        """
        rows = self.rows()
        if rows:
            curve = _loss_curve(*([row[name] for row in some] for some in (rows, validation)
                                  for name in ("images", "loss")))
            write_content(self._plot, curve)


class Meter:
    """Reads metrics one step late, so that the host prepares a batch while the devices compute.

    Args:
      begun: when the run began, by `time.monotonic`.
      batch_size: images a step.
      every: images between two rows.
      on_step: gets images and loss of each step that was applied.
      on_bad: gets images and loss of a step that was not; it may raise.
      on_row: gets the row: "images", "step", each metric's mean since the row before,
        "images_per_s", "waiting" (share of that time in which the batch was waited for),
        "first_step_s" (seconds from `begun` to the end of the first step), the peak memory, and
        "mfu", the share of the devices' peak operations, where `full_speed` is known.

    Attributes:
      full_speed: images/s at the devices' peak; None where that is not known.
    """

    full_speed: float | None = None

    def __init__(self, begun: float, batch_size: int, every: int,
                 on_step: Callable[[int, float], None],
                 on_bad: Callable[[int, float], None],
                 on_row: Callable[[dict[str, Any]], None]):
        self._batch_size, self._every = batch_size, every
        self._on_step, self._on_bad, self._on_row = on_step, on_bad, on_row
        self._begun = self._since = begun
        self._pending: tuple[int, Any] | None = None
        self._values: list[dict[str, float]] = []
        self._images = self._untimed = self._steps = 0
        self._waited_s = 0.0
        self._first_step_s: float | None = None
        self._stopped: float | None = None

    def push(self, images: int, metrics: Any) -> None:
        """Takes the metrics of the step that ends at `images`, and reads those of the one before."""
        try:
            self.settle()
        finally:  # also where `on_bad` raises for the step before
            self._pending = (images, metrics)
        if self._first_step_s is None:
            self.settle()

    def settle(self) -> None:
        """Reads what is pending, waiting for it; gives out a row if one is due."""
        if self._pending is None:
            return
        (images, metrics), self._pending = self._pending, None
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        if self._first_step_s is None:
            self._since = time.monotonic()
            self._first_step_s = round(self._since - self._begun, 3)
            self._waited_s = 0.0
            self._untimed = 1  # compiling says nothing about images_per_s
        self._steps += 1
        self._images = images
        if values.pop("finite"):
            self._values.append(values)
            self._on_step(images, values["loss"])
        else:
            self._on_bad(images, values["loss"])
        if crossed(images, self._every, self._batch_size):
            self.flush()

    def drop(self) -> None:
        """Forgets the step that is pending."""
        self._pending = None

    def flush(self) -> None:
        """Gives out a row of the steps read since the one before, if there are any."""
        if self._values:
            self._on_row(self._row(self._images))

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time in which the next batch is waited for."""
        start = time.monotonic()
        yield
        self._waited_s += time.monotonic() - start

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Keeps the time spent on checkpoints and pictures out of images_per_s."""
        self._stopped = start = time.monotonic()
        yield
        self._stopped = None
        self._since += time.monotonic() - start

    def _row(self, images: int) -> dict[str, Any]:
        # A row that comes up within a pause ends where the pause began.
        now = time.monotonic() if self._stopped is None else self._stopped
        timed = (self._steps - self._untimed) * self._batch_size
        speed = timed / max(now - self._since, 1e-9)
        row = {
            "images": images, "step": images // self._batch_size,
            **{name: float(np.mean([values[name] for values in self._values]))
               for name in self._values[0]},
            "images_per_s": round(speed, 3) if timed else None,
            "waiting": (round(min(self._waited_s / max(now - self._since, 1e-9), 1.0), 3)
                        if timed else None),
            "first_step_s": self._first_step_s, **peak_memory_mb()}
        if timed and self.full_speed:
            row["mfu"] = round(speed / self.full_speed, 4)
        self._values, self._since, self._untimed, self._waited_s = [], now, 0, 0.0
        self._steps = 0
        return row


def crossed(images: int, every: int, batch_size: int) -> bool:
    """Whether the step that ends at `images` went past a multiple of `every`; 0 = never."""
    return every > 0 and images // every > (images - batch_size) // every


def peak_memory_mb() -> dict[str, float]:
    """Peak memory since the start, in MB: of the process, and of the first device if it says so."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = {"peak_memory_mb": round(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)}
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        peak["peak_device_memory_mb"] = round(stats["peak_bytes_in_use"] / 2**20, 1)
    return peak


def _loss_curve(images: Sequence[int], loss: Sequence[float],
                held_out_images: Sequence[int] = (), held_out_loss: Sequence[float] = ()) -> bytes:
    # The object interface: pyplot would choose a backend for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    x, y = np.asarray(images, float), np.asarray(loss, float)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = FigureCanvasAgg(figure).figure.subplots()
    width = len(y) // 20
    axes.plot(x, y, color="0.75" if width > 1 else "C0", linewidth=1, label="loss")
    if width > 1:
        smooth = np.convolve(y, np.ones(width) / width, mode="valid")
        axes.plot(x[width - 1:], smooth, color="C0", label=f"mean of {width} rows")
    if len(held_out_loss):
        axes.plot(held_out_images, held_out_loss, "o-", color="C1", markersize=3,
                  label="held-out people")
    if width > 1 or len(held_out_loss):
        axes.legend()
    if (y > 0).all():
        axes.set_yscale("log")
        # Powers of ten alone would leave an axis of less than a decade without a number.
        narrow = y.max() < 4 * y.min()
        axes.yaxis.set_major_locator(MaxNLocator(8) if narrow else LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _thousands(value)))
    axes.set_xlabel("images seen")
    axes.set_ylabel("loss")
    axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _thousands(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
