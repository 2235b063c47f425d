"""Speed of a convolution and its gradients: XLA's own, a matrix product, this package's, PyTorch's.

    python -m repose_jax.experiments.bench.convolution [--channels 128] [--size 128] [--repeats 7]
    python -m repose_jax.experiments.bench.convolution --shapes 1x4x4x512x512x3 8x16x8x128x128x3

A shape is batch, rows, columns, channels of the picture, channels of the result, side of the kernel;
without any it is one square picture of `--size` with as many channels before as after, kernel 3x3.
Needs torch. All are run in turns, once before it counts; a row of the Markdown table for each:
thousand million multiplications and additions a processor second (those with the padding's zeros
among them), medians, of the convolution, of its gradient with respect to the picture, of that with
respect to the kernel, and of the latter in a loop (`lax.scan`, as training by accumulation has it;
PyTorch has none). On one processor, say `taskset -c 0`, as other programs' threads are not told apart.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from repose_jax.experiments.bench.cost import interleaved, seconds
from repose_jax.networks.conv import (
    conv_general_dilated, product, product_for_kernel, product_for_picture)

PARTS = ("convolution", "gradient, picture", "gradient, kernel", "the same in a loop")
TURNS = 3

Runs = dict[str, Callable[[], Any]]


class Shape(NamedTuple):
    """Of a convolution with a square kernel; see the module."""

    batch: int
    rows: int
    columns: int
    channels: int
    results: int
    kernel: int

    @classmethod
    def read(cls, text: str) -> Shape:
        """From "1x4x4x512x512x3"."""
        try:
            shape = cls(*map(int, text.split("x")))
        except (TypeError, ValueError):
            raise argparse.ArgumentTypeError(
                f"{text!r} is not six whole numbers with x between") from None
        if min(shape) < 1 or shape.kernel % 2 == 0:
            raise argparse.ArgumentTypeError(
                f"{text!r}: all are at least 1, and the kernel's side is odd")
        return shape

    @property
    def operations(self) -> float:
        """Thousand millions."""
        return 2 * self.batch * self.rows * self.columns * (
            self.kernel**2 * self.channels * self.results) / 1e9

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Picture, kernel and cotangent."""
        rng, (batch, rows, columns, channels, results, kernel) = np.random.default_rng(0), self
        return tuple(rng.normal(size=size).astype(np.float32) for size in (
            (batch, rows, columns, channels), (kernel, kernel, channels, results),
            (batch, rows, columns, results)))


def looped(gradient: Callable, picture, kernel, cotangent) -> jax.Array:
    """The kernel's gradients of parts of a batch, added up."""
    def turn(total, scale):
        # All of a turn differs from the others', as parts of a batch do.
        return total + gradient(picture * scale, kernel, cotangent * scale), None

    return lax.scan(turn, jnp.zeros_like(kernel), jnp.arange(1.0, TURNS + 1))[0]


def jitted(forward: Callable, for_picture: Callable, for_kernel: Callable, arrays) -> Runs:
    """By part, of functions of picture, kernel and cotangent."""
    given = tuple(map(jnp.asarray, arrays))
    runs = forward, for_picture, for_kernel, functools.partial(looped, for_kernel)
    return {part: functools.partial(jax.jit(run), *given)
            for part, run in zip(PARTS, runs, strict=True)}


def in_jax(convolution: Callable, arrays) -> Runs:
    """By part, of a function with the arguments of `lax.conv_general_dilated`."""
    convolve = functools.partial(
        convolution, window_strides=(1, 1), padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def gradient(argument: int) -> Callable:
        return lambda x, kernel, cotangent: jax.vjp(convolve, x, kernel)[1](cotangent)[argument]

    return jitted(lambda x, kernel, _: convolve(x, kernel), gradient(0), gradient(1), arrays)


def as_product(arrays) -> Runs:
    """By part, whatever the package would choose."""
    return jitted(lambda x, kernel, _: product(x, kernel),
                  lambda _, kernel, cotangent: product_for_picture(kernel, cotangent),
                  lambda x, kernel, cotangent: product_for_kernel(x, kernel.shape[:2], cotangent),
                  arrays)


def in_torch(arrays) -> Runs:
    """By part."""
    import torch
    from torch.nn import functional, grad

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    picture, kernel, cotangent = arrays
    x, g = (torch.from_numpy(a.transpose(0, 3, 1, 2).copy()) for a in (picture, cotangent))
    k = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
    padding = kernel.shape[0] // 2
    runs = (lambda: functional.conv2d(x, k, padding=padding),
            lambda: grad.conv2d_input(x.shape, k, g, padding=padding),
            lambda: grad.conv2d_weight(x, k.shape, g, padding=padding))
    return dict(zip(PARTS, runs))


def rows(shape: Shape, repeats: int) -> list[str]:
    """A row of the table for each side."""
    arrays = shape.arrays()
    sides = {"XLA's own": in_jax(lax.conv_general_dilated, arrays), "product": as_product(arrays),
             "here": in_jax(conv_general_dilated, arrays), "PyTorch": in_torch(arrays)}
    runs = {(side, part): run for side, parts in sides.items() for part, run in parts.items()}
    for run in runs.values():
        seconds(run, 1)
    spent = interleaved(runs, repeats)

    def speed(side: str, part: str) -> str:
        if part not in sides[side]:
            return ""
        work = shape.operations * (TURNS if part == PARTS[-1] else 1)
        return f"{work / statistics.median(one.processor for one in spent[side, part]):.3g}"

    name = "x".join(map(str, shape))
    return [f"| {name} | {side} | " + " | ".join(speed(side, part) for part in PARTS) + " |"
            for side in sides]


def main() -> None:
    """Measures and prints; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--shapes", nargs="+", type=Shape.read)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    shapes = options.shapes or [Shape(1, options.size, options.size, *[options.channels] * 2, 3)]
    print("| shape | | " + " | ".join(PARTS) + " |\n" + "|---" * (len(PARTS) + 2) + "|")
    for shape in shapes:
        print(*rows(shape, options.repeats), sep="\n", flush=True)


if __name__ == "__main__":
    main()
