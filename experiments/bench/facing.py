"""How well a pose tells which way its person faces, on rendered people never trained on.

    python -m repose_jax.experiments.bench.facing facing-openpose18 [--identities 150] [--framing any]
        [--heads turning]

The distance between the turn that the network reads and the trunk's own, degrees: median, mean with an
interval of 95 % over people, and the shares of poses that are less than 20 and more than 90 off; with
noise of 0, 1 and 2 % of the picture's height on every joint. Then of heads, where the skeleton has a
face: were they turned as the trunk, and as their own joints tell besides (`pose/head_frame.py`).
"""

from __future__ import annotations

import argparse

import jax
import numpy as np

from repose_jax.data.config import DataConfig
from repose_jax.data.people.source import RenderedPeople
from repose_jax.evaluation.statistics.bootstrap import Bootstrap
from repose_jax.models.weights import load_facing
from repose_jax.networks.apply import apply
from repose_jax.networks.facing import Facing, angle
from repose_jax.pose.head_frame import has_head_frame, head_frame
from repose_jax.pose.stature import stature

_SIZE, _NOISE = (64, 32), (0.0, 0.01, 0.02)


def main() -> None:
    """Measures and prints; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--identities", type=int, default=150)
    parser.add_argument("--framing", choices=("whole", "any"), default="whole")
    parser.add_argument("--heads", choices=("following", "turning"), default="following")
    options = parser.parse_args()
    loaded = load_facing(options.model)
    people = DataConfig(
        identities=options.identities, framing=options.framing, heads=options.heads).open(
            "test", skeleton=loaded.config.skeleton, size=_SIZE)
    assert isinstance(people, RenderedPeople)
    trunks, heads = (np.array([turn(i) for i in range(len(people))])
                     for turn in (people.turn, people.head_turn))
    read = jax.jit(lambda poses: angle(apply(Facing(loaded.config.hidden), loaded.params, poses)))
    bootstrap = Bootstrap(people.persons)

    @jax.jit
    def read_head(poses, turns):
        return head_frame(poses, turns, stature(poses, people.skeleton, _SIZE), people.skeleton).turn

    print("| of | noise, % of the height | median | mean | < 20 | > 90 |\n|---|---|---|---|---|---|")
    for noise in _NOISE:
        poses = people.poses.copy()
        shaken = np.random.default_rng(0).normal(0, noise * _SIZE[0], poses[..., :2].shape)
        poses[..., :2] += shaken * (poses[..., 2:] > 0)
        found = read(poses)
        rows = {"the trunk": (found, trunks)}
        if has_head_frame(people.skeleton):
            rows |= {"the head, as the trunk": (found, heads),
                     "the head, by its joints": (read_head(poses, found), heads)}
        for name, (turns, true) in rows.items():
            off = np.degrees(np.abs(np.angle(np.exp(1j * (np.asarray(turns) - true)))))
            mean = bootstrap.mean(off)
            print(f"| {name} | {100 * noise:g} | {np.median(off):.1f} | {mean.value:.1f} "
                  f"[{mean.low:.1f}, {mean.high:.1f}] | {(off < 20).mean():.3f} | "
                  f"{(off > 90).mean():.3f} |", flush=True)


if __name__ == "__main__":
    main()
