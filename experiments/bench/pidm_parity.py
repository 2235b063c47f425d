"""PIDM's own network in PyTorch beside its import here: the same weights, the same output.

    python -m repose_jax.experiments.bench.pidm_parity CHECKOUT [--channels 128] [--size 256]
        [--steps 50]

CHECKOUT is a clone of PIDM's repository (its folder `models` is used); needs torch. The network is
built with random weights, also where PIDM begins with zeros, saved as PIDM's train.py saves it, and
read by `read_pidm`. Tells the largest difference over the largest value of the output for the
conditional and the null branch, and for the picture of DDIM with guidance 2 on PIDM's time steps
where `--steps` is not 0. Ends with 1 where one is above 1e-4, a picture above 1e-3.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np

from repose_jax.diffusion.guidance import two_branch
from repose_jax.diffusion.samplers import DDIM, Segment, sample
from repose_jax.experiments.bench.pidm_checkout import (
    imported, pidm_network, random_inputs, torched)
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.pose.pidm_maps import pidm_maps


def main() -> int:
    """Compares and tells; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=pathlib.Path)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=0)
    options = parser.parse_args()
    import torch

    network = pidm_network(options.checkout, options.channels, options.size)
    read, size = imported(network, options.size), (options.size, options.size)
    print(f"{read.used:,} numbers used, {read.unused:,} never read by PIDM's forward pass")
    model = RePoseModel(read.config)

    source, pose, keys, noise = random_inputs(options.size)
    maps = torched(pidm_maps(pose, size))
    with torch.no_grad():
        cond = [network.encode(torched(s))["cond"] for s in (source, jnp.zeros_like(source))]

        def outputs(y, t):
            return [network(torch.cat([y, maps], 1), torch.full((1,), float(t)), cond=cond, prob=p)
                    for p in (1, 0)]

        expected = outputs(torched(noise), 700)
    ours = jax.jit(lambda params, present: model.network.apply(
        {"params": params}, noise, jnp.array([700]), source, pose, pose, present,
        method="everything"))
    worst = 0.0
    for branch, present, want in zip(("conditional", "null"), (1.0, 0.0), expected, strict=True):
        out = ours(read.params, jnp.array([present]))
        found = np.concatenate([out.signal, out.variance], -1)
        want = want.numpy().transpose(0, 2, 3, 1)
        error = np.abs(found - want).max() / np.abs(want).max()
        worst = max(worst, error)
        print(f"{branch:12} largest {np.abs(want).max():.3f}, difference {error:.1e} of it")
    if not options.steps:
        return int(worst > 1e-4)

    times = np.arange(0, 1000, 1000 // options.steps)[::-1].copy()
    abar = np.append(model.schedule.alpha_bars(), 1.0)
    y = torched(noise)
    with torch.no_grad():
        for t, to in zip(times, [*times[1:], -1], strict=True):
            given, null = (out[:, :3] for out in outputs(y, t))
            epsilon = null + 2 * (given - null)
            x0 = (y - (1 - abar[t]) ** 0.5 * epsilon) / abar[t] ** 0.5
            y = abar[to] ** 0.5 * x0 + (1 - abar[to]) ** 0.5 * epsilon

    def picture(params):
        (denoiser,), _ = model.guided_denoisers(params, source, pose, pose, two_branch(2.0))
        return sample([Segment(denoiser, times)], model.schedule, DDIM(), keys, (*size, 3),
                      clip=False)[0]

    want = y.numpy().transpose(0, 2, 3, 1)
    error = np.abs(np.asarray(jax.jit(picture)(read.params)) - want).max() / np.abs(want).max()
    print(f"{len(times)} steps     largest {np.abs(want).max():.3f}, difference {error:.1e} of it")
    return int(worst > 1e-4 or error > 1e-3)


if __name__ == "__main__":
    sys.exit(main())
