"""Features of Inception-v3 a second, here and in pytorch-fid, on the same cores in one run.

    python -m repose_jax.experiments.bench.features [--batch 16] [--threads 1] [--repeats 5]

Random weights, random pictures of 128 x 64; needs `pip install -e '.[reference]'`. The two take
turns, so that what else the machine does falls on both; medians, as JSON on standard output, of
pictures a second of wall time and of the process's own CPU time, which other work disturbs less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time

import numpy as np

from repose_jax.experiments.bench.torch_twins import import_torchvision


def randomise(network, seed: int = 0):
    """Gives a PyTorch network weights that keep activations at one scale, and statistics too."""
    import torch
    random = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            scale = (2 / module.weight[0].numel()) ** 0.5
            module.weight.data.normal_(0, scale, generator=random)
        if isinstance(module, torch.nn.BatchNorm2d):
            for values in (module.weight.data, module.running_var):
                values.uniform_(0.5, 1.5, generator=random)
            for values in (module.bias.data, module.running_mean):
                values.normal_(0, 0.2, generator=random)
    return network.eval()


def pytorch_fid(blocks: tuple[int, ...] = (3,)):
    """pytorch-fid's network with random weights, and their state dict as arrays."""
    torchvision = import_torchvision()
    from pytorch_fid import inception
    state = randomise(torchvision.models.inception_v3(
        num_classes=1008, aux_logits=False, init_weights=False)).state_dict()
    fetch, inception.load_state_dict_from_url = (
        inception.load_state_dict_from_url, lambda *_, **__: state)
    try:
        network = inception.InceptionV3(blocks)
    finally:
        inception.load_state_dict_from_url = fetch
    return network.eval(), {name: value.numpy() for name, value in state.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    # Both count the cores when they are first used.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.threads:])
    import jax
    import torch

    from repose_jax.evaluation.metrics.features import feature_network
    from repose_jax.networks.inception import Inception, params_from_torch, prepare

    torch.set_num_threads(options.threads)
    theirs, state = pytorch_fid()
    pictures = np.random.default_rng(0).integers(0, 256, (options.batch, 128, 64, 3), np.uint8)
    ours = feature_network("random", lambda params, x: Inception("tf").apply(
        {"params": params}, prepare(x))["2048"], params_from_torch(state, "tf"), "")

    def in_torch():
        with torch.inference_mode():
            return theirs(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255)[0].numpy()

    def in_jax():
        return np.asarray(ours.extract(pictures))

    runs = {"jax": in_jax, "torch": in_torch}
    begun = time.perf_counter()
    first = {name: run().reshape(options.batch, -1) for name, run in runs.items()}
    result = {
        "jax": jax.__version__, "torch": torch.__version__, "threads": options.threads,
        "batch": options.batch, "first_calls_s": time.perf_counter() - begun,
        "difference": float(np.abs(first["jax"] - first["torch"]).max()
                            / np.abs(first["torch"]).max())}
    times = {name: [] for name in runs}
    for _ in range(options.repeats):
        for name, run in runs.items():
            wall, own = time.perf_counter(), time.process_time()
            run()
            times[name].append((time.perf_counter() - wall, time.process_time() - own))
    for name, spent in times.items():
        result[f"{name}_images_per_s"], result[f"{name}_images_per_cpu_s"] = (
            options.batch / statistics.median(kind) for kind in zip(*spent))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
