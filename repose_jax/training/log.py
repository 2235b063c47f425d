"""The record of a run: a line of JSON a time, and a picture of the loss."""

from __future__ import annotations

import json
import os
import pathlib
import resource
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np


class TrainingLog:
    """`log.jsonl` and `loss.png` in a folder. Each row has "images" and "loss"."""

    def __init__(self, folder: str | os.PathLike[str]):
        self._path = pathlib.Path(folder) / "log.jsonl"
        self._plot = pathlib.Path(folder) / "loss.png"

    def append(self, row: Mapping[str, Any]) -> None:
        """Adds a row, on disk when this returns."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """All complete rows; a line cut off by a kill is left out."""
        if not self._path.exists():
            return []
        rows = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return rows

    def cut(self, images: int) -> None:
        """Drops the rows past `images`: a resumed run will write them again."""
        kept = [row for row in self.rows() if row["images"] <= images]
        text = "".join(json.dumps(row) + "\n" for row in kept)
        write_atomically(self._path, text.encode())

    def plot(self) -> None:
        """Draws the loss over images, both axes readable whatever the range."""
        rows = self.rows()
        if rows:
            write_atomically(self._plot, _loss_curve(
                [row["images"] for row in rows], [row["loss"] for row in rows]))


def write_atomically(path: pathlib.Path, data: bytes) -> None:
    """Writes a file that is either whole or not there."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    os.replace(partial, path)


def peak_memory_mb() -> dict[str, float]:
    """Peak memory since the start, in MB: of the process, and of the first device if it says so."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = {"peak_memory_mb": round(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)}
    stats = jax.local_devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        peak["peak_device_memory_mb"] = round(stats["peak_bytes_in_use"] / 2**20, 1)
    return peak


def _loss_curve(images: Sequence[int], loss: Sequence[float]) -> bytes:
    import io

    # The object interface: pyplot would choose a backend for the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    x, y = np.asarray(images, float), np.asarray(loss, float)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = FigureCanvasAgg(figure).figure.subplots()
    axes.plot(x, y, color="0.75", linewidth=1, label="loss")
    width = max(1, len(y) // 20)
    if width > 1:
        smooth = np.convolve(y, np.ones(width) / width, mode="valid")
        axes.plot(x[width - 1:], smooth, color="C0", label=f"mean of {width} rows")
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
