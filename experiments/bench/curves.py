"""Compares the loss of two runs over their time, row by row of their logs.

    python -m repose_jax.experiments.bench.curves runs/float32 runs/bfloat16 [--window 25] [--rows 6]

Each curve is smoothed by the mean of a window of rows that ends at each; a table tells of both at
evenly spaced times, the last among them, and the last lines of where they are furthest apart,
smoothed and as they are. The runs must have been logged at the same images.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from repose_jax.common.errors import UserError
from repose_jax.training.log import TrainingLog


class Curves(NamedTuple):
    """Two losses at the same times.

    Attributes:
      images: seen at each row.
      first: losses of the one run.
      second: losses of the other.
    """

    images: np.ndarray
    first: Float[np.ndarray, "rows"]
    second: Float[np.ndarray, "rows"]

    @property
    def apart(self) -> Float[np.ndarray, "rows"]:
        """The difference, as a share of the first run's loss."""
        return np.abs(self.second - self.first) / np.abs(self.first)

    def smoothed(self, window: int) -> Curves:
        """The mean of each row and the `window` - 1 before it; so many rows fewer.

        Raises:
          UserError: there are fewer rows than the window has.
        """
        if not 1 <= window <= len(self.images):
            raise UserError("--window", f"is {window} for {len(self.images)} rows",
                            "give 1 or more, at most as many as there are rows")
        kernel = np.ones(window) / window
        return Curves(self.images[window - 1:], np.convolve(self.first, kernel, "valid"),
                      np.convolve(self.second, kernel, "valid"))


def read_curves(first: pathlib.Path, second: pathlib.Path) -> Curves:
    """The losses of two runs' folders.

    Raises:
      UserError: a folder has no log, or the two have no rows of the same images.
    """
    logs = []
    for folder in (first, second):
        logs.append(TrainingLog(folder).rows())
        if not logs[-1]:
            raise UserError(folder, "has no log.jsonl with rows", "give the folder of a run")
    images = [np.array([row["images"] for row in rows]) for rows in logs]
    if not np.array_equal(*images):
        raise UserError(second, f"has other rows than {first}",
                        "train both for as long, with the same --train.log-every-images")
    return Curves(images[0], *(np.array([row["loss"] for row in rows], float) for rows in logs))


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", type=pathlib.Path)
    parser.add_argument("second", type=pathlib.Path)
    parser.add_argument("--window", type=int, default=25)
    parser.add_argument("--rows", type=int, default=6)
    options = parser.parse_args()
    try:
        curves = read_curves(options.first, options.second)
        smooth = curves.smoothed(options.window)
    except UserError as error:
        print(f"curves: {error}", file=sys.stderr)
        return 2
    print("images  first      second     apart")
    at = np.linspace(0, len(smooth.images) - 1, max(options.rows, 1) + 1).round().astype(int)[1:]
    for row in np.unique(at):
        print(f"{smooth.images[row]:6d}  {smooth.first[row]:.7f}  {smooth.second[row]:.7f}  "
              f"{smooth.apart[row]:.3%}")
    for name, some in ((f"means of {options.window} rows", smooth), ("single rows", curves)):
        furthest = int(np.argmax(some.apart))
        print(f"{name}: at most {some.apart[furthest]:.3%} apart, after {some.images[furthest]} "
              f"images; {np.mean(some.apart):.3%} in the mean")
    return 0


if __name__ == "__main__":
    sys.exit(main())
