"""What the photo's own details bring to a larger picture, on rendered people.

    python -m repose_jax.experiments.bench.enlarging MODEL [--times 2 4] [--pairs 100] [--seed 0]

MODEL paints rendered people (people-256). Test people are rendered in each number of times its size,
which is the truth; it sees them in its own size. Its pictures are made as large in two ways: by
bicubic interpolation, and with what the photo shows more where the painter kept it (docs/method.md,
32). A row of the Markdown table for each: within the person the mean absolute difference, and the mean
slope between neighbouring pixels as a share of the truth's, 1 being as sharp; SSIM of the person; in
brackets 95 % intervals over people. Then the second less the first, pair by pair.
"""

from __future__ import annotations

import argparse
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image

from repose_jax.data.config import DataConfig
from repose_jax.data.image.resize import window
from repose_jax.evaluation.evaluators.sampled import choose_pairs
from repose_jax.evaluation.metrics.masked import inside_l1, mask_gaussian_ssim
from repose_jax.evaluation.statistics.bootstrap import Bootstrap
from repose_jax.inference.pipeline import PoseTransfer, Prepared
from repose_jax.models.painting_loss import differences
from repose_jax.pose.person_mask import RADIUS, person_mask

_BATCH = 10
_OF = 128  # the height that the mask's radius is of: it is as thick a part of every picture
_WAYS = "bicubic", "with the photo's details"


@jax.jit
def slope(
    pictures: Float[Array, "batch h w 3"], mask: Float[Array, "batch h w"]
) -> Float[Array, "batch"]:
    """Mean absolute difference of neighbouring pixels within a mask."""
    def mean(along: Array, inside: Array) -> Array:
        return jnp.sum(jnp.abs(along).mean(-1) * inside, (1, 2)) / jnp.maximum(
            jnp.sum(inside, (1, 2)), 1e-6)

    down, right = differences(pictures)
    return mean(down, mask[:, 1:]) + mean(right, mask[:, :, 1:])


def measured(
    made: UInt8[np.ndarray, "batch h w 3"], true: UInt8[np.ndarray, "batch h w 3"],
    mask: Float[np.ndarray, "batch h w"],
) -> Float[np.ndarray, "batch 3"]:
    """L1 and slope within the person, SSIM of the person."""
    ours, theirs = (jnp.asarray(x, jnp.float32) / 255 for x in (made, true))
    return np.stack([inside_l1(ours, theirs, mask), slope(ours, mask) / slope(theirs, mask),
                     mask_gaussian_ssim(ours, theirs, mask)], axis=1)


def compare(
    transfer: PoseTransfer, times: int, count: int, seed: int
) -> tuple[list[str], dict[str, Float[np.ndarray, "pairs 3"]]]:
    """Persons, and by the way of enlarging what `measured` says of each pair."""
    data, size = DataConfig(path="people", scene="person"), transfer.size
    large = data.open("test", skeleton=transfer.skeleton.name,
                      size=(times * size[0], times * size[1]))
    small = data.open("test", skeleton=transfer.skeleton.name, size=size)
    pairs = small.pairs[choose_pairs(small, count, seed)].tolist()
    found: dict[str, list] = {way: [] for way in _WAYS}
    for start in range(0, len(pairs), _BATCH):
        some = pairs[start:start + _BATCH]
        ready = [Prepared(np.asarray(Image.fromarray(large.image(a)).reduce(times)), small.pose(a),
                          small.pose(b), window(size, size), (), large.image(a)) for a, b in some]
        true = np.stack([large.image(b) for _, b in some])
        mask = person_mask(np.stack([small.pose(b) for _, b in some]), transfer.skeleton, size,
                           radius=max(1, RADIUS * size[0] // _OF))
        mask = mask.repeat(times, 1).repeat(times, 2).astype(np.float32)
        plain = transfer.run([dataclasses.replace(each, large=None) for each in ready], 0)
        made = np.stack([np.asarray(Image.fromarray(p).resize(
            large.size[::-1], Image.Resampling.BICUBIC)) for p in plain])
        for way, pictures in zip(_WAYS, (made, transfer.run(ready, 0)), strict=True):
            found[way].append(measured(pictures, true, mask))
    return ([small.persons[a] for a, _ in pairs],
            {way: np.concatenate(rows) for way, rows in found.items()})


def main() -> None:
    """Measures and prints; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--times", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    transfer = PoseTransfer.load(options.model)
    print("| times | | L1 within the person | slope, of the truth's | SSIM of the person |\n"
          "|---|---|---|---|---|")
    for times in options.times:
        persons, found = compare(transfer, times, options.pairs, options.seed)
        bootstrap = Bootstrap(persons)
        found["the second less the first"] = found[_WAYS[1]] - found[_WAYS[0]]
        for way, rows in found.items():
            means = [bootstrap.mean(column) for column in rows.T]
            print(f"| {times} | {way} | " + " | ".join(
                f"{m.value:.4f} [{m.low:.4f}, {m.high:.4f}]" for m in means) + " |")


if __name__ == "__main__":
    main()
