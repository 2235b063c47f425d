"""Speed of the metrics beside their PyTorch and scikit-image twins; one JSON on standard output.

    python -m repose_jax.experiments.bench.lpips [--batch 8] [--threads 1] [--repeats 5]

Pairs of random pictures of 256 x 176, in each library's own layout, and random networks (the time
does not depend on the weights). Medians of runs taken in turns after one that compiles. The
process is held to as many cores as threads, whichever library runs. Needs the extra `reference`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform

import jax
import jax.numpy as jnp
import numpy as np

from repose_jax.evaluation.metrics.lpips import lpips_from_states
from repose_jax.evaluation.metrics.ms_ssim import ms_ssim
from repose_jax.evaluation.metrics.ssim import gaussian_ssim
from repose_jax.experiments.bench.cost import seconds, side_by_side
from repose_jax.experiments.bench.torch_twins import random_lpips

_SIZE = (256, 176)


def twins(batch: int) -> dict[str, tuple]:
    """Name to the metric here and its twin elsewhere, each without arguments."""
    import pytorch_msssim
    import torch
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(0)
    a, b = rng.random((2, batch, *_SIZE, 3), np.float32)
    on_device = jnp.asarray(a), jnp.asarray(b)
    in_torch = [torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2))) for x in (a, b)]

    def by_scikit_image():
        return [structural_similarity(p, q, gaussian_weights=True, sigma=1.5, data_range=1,
                                      use_sample_covariance=False, channel_axis=-1)
                for p, q in zip(a, b)]

    def no_gradient(metric):
        def run():
            with torch.no_grad():
                return metric()
        return run

    found = {
        "ssim": (lambda: gaussian_ssim(*on_device), by_scikit_image),
        "ms-ssim": (lambda: ms_ssim(*on_device), no_gradient(
            lambda: pytorch_msssim.ms_ssim(*in_torch, data_range=1, size_average=False)))}
    for kind in ("alex", "vgg", "squeeze"):
        model, backbone, heads = random_lpips(kind)
        metric = lpips_from_states(kind, backbone, heads)
        found[metric.name] = (
            lambda m=metric: m(*on_device),
            no_gradient(lambda m=model: m(*in_torch, normalize=True)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=8, help="pairs at a time")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    # Before either library makes its threads.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:options.threads])
    import torch

    torch.set_num_threads(options.threads)
    result = {
        "size": _SIZE, "batch": options.batch, "threads": options.threads,
        "jax": jax.__version__, "torch": torch.__version__, "devices": str(jax.devices()),
        "cpu": platform.processor() or platform.machine(), "pairs_per_s": {}}
    for name, (here, elsewhere) in twins(options.batch).items():
        apart = np.abs(np.ravel(here()) - np.ravel(elsewhere())).max()
        seconds(here, 1), seconds(elsewhere, 1)
        spent = side_by_side({"jax": here, "twin": elsewhere}, options.repeats)
        result["pairs_per_s"][name] = {
            **{way: round(options.batch / took, 2) for way, took in spent.items()},
            "times": round(spent["twin"] / spent["jax"], 2), "largest_difference": float(apart)}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
