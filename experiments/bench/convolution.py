"""Speed of a 3x3 convolution and its gradients for one picture: XLA's own, this package's, PyTorch's.

    python -m repose_jax.experiments.bench.convolution [--channels 128] [--size 128] [--repeats 7]

Needs torch. All are run in turns, once before it counts; a row of the Markdown table for each:
thousand million multiplications and additions a processor second, medians, of the convolution, of its
gradient with respect to the picture, of that with respect to the kernel, and of the latter in a loop
(`lax.scan`, as training by accumulation has it; PyTorch has none). On one processor, say
`taskset -c 0`, as other programs' threads are not told apart.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from repose_jax.experiments.bench.cost import interleaved, seconds
from repose_jax.networks.conv import conv_general_dilated

PARTS = ("convolution", "gradient, picture", "gradient, kernel", "the same in a loop")
TURNS = 3


def in_jax(convolution, picture, kernel, cotangent) -> dict[str, Callable[[], Any]]:
    """By part."""
    convolve = functools.partial(
        convolution, window_strides=(1, 1), padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def gradient(argument: int):
        return jax.jit(lambda *primals: jax.vjp(convolve, *primals[:2])[1](primals[2])[argument])

    def looped(*primals):
        def turn(total, scale):
            # All of a turn differs from the others', as parts of a batch do.
            x, k, cotangent = primals[0] * scale, primals[1], primals[2] * scale
            return total + jax.vjp(convolve, x, k)[1](cotangent)[1], None

        return lax.scan(turn, jnp.zeros_like(primals[1]), jnp.arange(1.0, TURNS + 1))[0]

    runs = jax.jit(convolve), gradient(0), gradient(1), jax.jit(looped)
    return {part: functools.partial(run, *((picture, kernel, cotangent) if i else (picture, kernel)))
            for i, (part, run) in enumerate(zip(PARTS, runs, strict=True))}


def in_torch(picture, kernel, cotangent) -> dict[str, Callable[[], Any]]:
    """By part."""
    import torch
    from torch.nn import functional, grad

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    x, g = (torch.from_numpy(a.transpose(0, 3, 1, 2).copy()) for a in (picture, cotangent))
    k = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
    runs = (lambda: functional.conv2d(x, k, padding=1),
            lambda: grad.conv2d_input(x.shape, k, g, padding=1),
            lambda: grad.conv2d_weight(x, k.shape, g, padding=1))
    return dict(zip(PARTS, runs))


def main() -> None:
    """Measures and prints; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    channels, size = options.channels, options.size
    rng = np.random.default_rng(0)
    picture, cotangent = rng.normal(size=(2, 1, size, size, channels)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, channels, channels)).astype(np.float32)
    arrays = picture, kernel, cotangent
    sides = {"XLA's own": in_jax(lax.conv_general_dilated, *arrays),
             "here": in_jax(conv_general_dilated, *arrays), "PyTorch": in_torch(*arrays)}
    runs = {(side, part): run for side, parts in sides.items() for part, run in parts.items()}
    for run in runs.values():
        seconds(run, 1)
    spent = interleaved(runs, options.repeats)
    print("| | " + " | ".join(PARTS) + " |\n" + "|---" * (len(PARTS) + 1) + "|")
    for side in sides:
        work = dict.fromkeys(sides[side], 2 * (3 * size * channels) ** 2 / 1e9)
        if PARTS[-1] in work:
            work[PARTS[-1]] *= TURNS
        speeds = [f"{work[part] / statistics.median(one.processor for one in spent[side, part]):.3g}"
                  if part in work else "" for part in PARTS]
        print(f"| {side} | " + " | ".join(speeds) + " |")


if __name__ == "__main__":
    main()
