"""How well a pose tells which way its person faces, on rendered people never trained on.

    python -m repose_jax.experiments.bench.facing facing-openpose18 [--identities 150] [--framing any]

The distance between the turn that the network reads and the trunk's own, degrees: median, mean with an
interval of 95 % over people, and the shares of poses that are less than 20 and more than 90 off; with
noise of 0, 1 and 2 % of the picture's height on every joint.
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

_SIZE, _NOISE = (64, 32), (0.0, 0.01, 0.02)


def main() -> None:
    """Measures and prints; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--identities", type=int, default=150)
    parser.add_argument("--framing", choices=("whole", "any"), default="whole")
    options = parser.parse_args()
    loaded = load_facing(options.model)
    people = DataConfig(identities=options.identities, framing=options.framing).open(
        "test", skeleton=loaded.config.skeleton, size=_SIZE)
    assert isinstance(people, RenderedPeople)
    turns = np.array([people.turn(i) for i in range(len(people))])
    read = jax.jit(lambda poses: angle(apply(Facing(loaded.config.hidden), loaded.params, poses)))
    bootstrap = Bootstrap(people.persons)
    print("| noise, % of the height | median | mean | < 20 | > 90 |\n|---|---|---|---|---|")
    for noise in _NOISE:
        poses = people.poses.copy()
        shaken = np.random.default_rng(0).normal(0, noise * _SIZE[0], poses[..., :2].shape)
        poses[..., :2] += shaken * (poses[..., 2:] > 0)
        off = np.degrees(np.abs(np.angle(np.exp(1j * (np.asarray(read(poses)) - turns)))))
        mean = bootstrap.mean(off)
        print(f"| {100 * noise:g} | {np.median(off):.1f} | {mean.value:.1f} [{mean.low:.1f}, "
              f"{mean.high:.1f}] | {(off < 20).mean():.3f} | {(off > 90).mean():.3f} |", flush=True)


if __name__ == "__main__":
    main()
