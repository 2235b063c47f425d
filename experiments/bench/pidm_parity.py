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
import tempfile

import jax
import jax.numpy as jnp
import numpy as np

from repose_jax.diffusion.guidance import two_branch
from repose_jax.diffusion.samplers import DDIM, Segment, initial_noise, sample
from repose_jax.models.pidm_weights import read_pidm
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.pose.pidm_maps import pidm_maps


def theirs(checkout: pathlib.Path, channels: int, size: int):
    """PIDM's network with random weights in every tensor."""
    import torch

    sys.path.insert(0, str(checkout))
    from models.unet_autoenc import BeatGANsAutoencConfig

    torch.manual_seed(0)
    # The values of config/diffconfig.py, scaled; attention stays at the last three levels.
    network = BeatGANsAutoencConfig(
        image_size=size, in_channels=23, model_channels=channels, out_channels=6,
        num_res_blocks=2, embed_channels=4 * channels,
        attention_resolutions=(size // 8, size // 16, size // 32), dropout=0.1,
        channel_mult=(1, 1, 2, 2, 4, 4), num_heads=1, resblock_updown=True, resnet_two_cond=True,
        latent_net_conf=None).make_model().eval()
    with torch.no_grad():
        for tensor in network.parameters():
            if not tensor.abs().max():  # PIDM begins with zeros there, which would hide mistakes
                tensor.normal_(0, 0.02)
    return network


def main() -> int:
    """Compares and tells; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=pathlib.Path)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=0)
    options = parser.parse_args()
    import torch

    network = theirs(options.checkout, options.channels, options.size)
    size = (options.size, options.size)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "last.pt")
        torch.save({"model": network.state_dict(), "ema": network.state_dict()}, path)
        read = read_pidm(path, image_size=size)
    print(f"{read.used:,} numbers used, {read.unused:,} never read by PIDM's forward pass")
    model = RePoseModel(read.config)

    rng = np.random.default_rng(0)
    pose = np.concatenate([rng.uniform(0.1, 0.9, (1, 18, 2)) * options.size, np.ones((1, 18, 1))], -1)
    pose = jnp.asarray(pose, jnp.float32)
    source = jnp.asarray(rng.uniform(-1, 1, (1, *size, 3)), jnp.float32)
    keys = jax.random.split(jax.random.key(0), 1)
    noise = initial_noise(keys, (*size, 3))

    def torched(x):
        # Contiguous, as PIDM feeds it: its normalisation of flat maps is coarser otherwise.
        return torch.from_numpy(np.ascontiguousarray(np.asarray(x).transpose(0, 3, 1, 2)))

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
        denoiser, _ = model.guided_denoiser(params, source, pose, pose, two_branch(2.0))
        return sample([Segment(denoiser, times)], model.schedule, DDIM(), keys, (*size, 3),
                      clip=False)[0]

    want = y.numpy().transpose(0, 2, 3, 1)
    error = np.abs(np.asarray(jax.jit(picture)(read.params)) - want).max() / np.abs(want).max()
    print(f"{len(times)} steps     largest {np.abs(want).max():.3f}, difference {error:.1e} of it")
    return int(worst > 1e-4 or error > 1e-3)


if __name__ == "__main__":
    sys.exit(main())
