"""What a model costs: sampling and training speed, start-up, memory; one JSON on standard output.

    python -m repose_jax.experiments.bench.cost people [--batch 1] [--steps 50]
    python -m repose_jax.experiments.bench.cost base --count

Medians of repeated runs after one that compiles; the machine should do nothing else meanwhile. With
--count nothing is run: the operations of a training step are counted.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
import json
import platform
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from repose_jax.data.pairs.stream import batches, examples
from repose_jax.data.people.source import rendered_people
from repose_jax.models.pose_energy_file import load_guide
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import GuidanceConfig, SampleConfig
from repose_jax.models.sampling import generate
from repose_jax.pose.skeleton import SKELETONS
from repose_jax.training.parallel import data_parallel
from repose_jax.training.state import create_state, make_optimizer
from repose_jax.training.step import make_train_step


def seconds(run, repeats: int) -> float:
    """Median wall time of `run`, which must return arrays."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


class Spent(NamedTuple):
    """What a run took, seconds: on the clock, and of this process on all processors."""

    wall: float
    processor: float


def interleaved(runs: dict, repeats: int) -> dict[str, list[Spent]]:
    """What each takes, in turns, so that what else the machine does falls on all alike."""
    spent: dict[str, list[Spent]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            begun = time.process_time()
            wall = seconds(run, 1)
            spent[name].append(Spent(wall, time.process_time() - begun))
    return spent


def side_by_side(runs: dict, repeats: int) -> dict[str, float]:
    """Median wall time of each; see `interleaved`."""
    return {name: statistics.median(one.wall for one in spent)
            for name, spent in interleaved(runs, repeats).items()}


def quartiles(values: list[float]) -> str:
    """The median, and in brackets the quartiles."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return f"{middle:.3g} [{low:.3g}, {high:.3g}]"


def ways_to_sample(sample: SampleConfig, steps: int) -> dict[str, SampleConfig]:
    """Without any guidance, with classifier-free guidance, and that with gradient guidance.

    Gradient guidance is that of the preset, and the same at every step, both ways of taking the
    gradient; it is left out where the preset has none.
    """
    plain = dataclasses.replace(
        sample, steps=steps, classifier_free="two-branch", source_weight=1.0,
        guidance=GuidanceConfig())
    ways = {"no_guidance": plain, "classifier_free": dataclasses.replace(plain, source_weight=2.0)}
    if sample.guidance.active:
        def guided(**changes):
            return dataclasses.replace(ways["classifier_free"],
                                       guidance=dataclasses.replace(sample.guidance, **changes))

        ways |= {"gradient_default": guided(),
                 "gradient_x0": guided(through="x0", interval=(0.0, 1.0)),
                 "gradient_denoiser": guided(through="denoiser", interval=(0.0, 1.0))}
    return ways


def training_run(model: RePoseModel, config, params, people) -> Callable[[], Any]:
    """One training step on all local devices, each call the next batch's."""
    size = config.train.batch_size
    optimizer = make_optimizer(config.train.schedule(), size)
    loss = functools.partial(model.loss, objective=config.objective)
    devices = data_parallel(functools.partial(
        make_train_step, loss, optimizer, ema_decay=config.train.ema_decay))
    state = devices.init(lambda tree: create_state(tree, optimizer), devices.get(params))
    stream, key = batches(people, batch_size=size, seed=0), jax.random.key(0)

    def step():
        nonlocal state
        state, metrics = devices.step(state, next(stream), key)
        return metrics

    return step


def training_speed(model: RePoseModel, config, params, people, repeats: int) -> dict[str, float]:
    """Pictures a second of the train step on all local devices, and what the first one takes."""
    step, size = training_run(model, config, params, people), config.train.batch_size
    first = seconds(step, 1)
    return {"batch": size, "images_per_s": size / seconds(step, repeats), "first_step_s": first}


def training_operations(model: RePoseModel, config) -> float:
    """Floating-point operations of the gradient of the loss, a pair, as XLA counts them unoptimised.

    Neither compiles nor runs anything. The optimizer is left out.
    """
    network, size = config.model.network, 8
    poses = jax.ShapeDtypeStruct((size, len(SKELETONS[network.skeleton]), 3), jnp.float32)
    pictures = jax.ShapeDtypeStruct((size, *network.image_size, 3), jnp.uint8)
    batch = {"source": pictures, "target": pictures, "source_pose": poses, "target_pose": poses}
    gradient = jax.jit(lambda params, batch, keys: jax.grad(
        lambda params: model.loss(params, batch, keys, objective=config.objective)[0])(params))
    key = jax.random.key(0)
    lowered = gradient.lower(jax.eval_shape(model.init, key), batch,
                             jax.ShapeDtypeStruct((size,), key.dtype))
    return lowered.cost_analysis()["flops"] / size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset")
    parser.add_argument("--batch", type=int, default=1, help="pictures sampled at a time")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-training", action="store_true", help="only sampling")
    parser.add_argument("--count", action="store_true", help="only count a pair's operations")
    options = parser.parse_args()
    config = importlib.import_module(f"repose_jax.experiments.presets.{options.preset}").CONFIG
    model, network = RePoseModel(config.model), config.model.network
    if options.count:
        print(json.dumps({"preset": options.preset, "size": network.image_size,
                          "training_gflop_per_pair": training_operations(model, config) / 1e9}))
        return
    people = rendered_people(identities=16, views=4, size=network.image_size,
                             skeleton=network.skeleton)
    begun = time.perf_counter()
    params = jax.jit(model.init)(jax.random.key(0))
    result = {
        "preset": options.preset, "jax": jax.__version__, "devices": str(jax.devices()),
        "cpu": platform.processor() or platform.machine(), "steps": options.steps,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params))}

    pairs = examples(people, range(options.batch))
    keys = jax.random.split(jax.random.key(0), options.batch)
    runs = {}
    for name, sample in ways_to_sample(config.sample, options.steps).items():
        guide = load_guide(sample.guidance, network)
        runs[name] = functools.partial(
            generate, model, params, pairs["source"], pairs["source_pose"], pairs["target_pose"],
            keys, sample, False, guide)
    first = {name: seconds(run, 1) for name, run in runs.items()}
    spent = side_by_side(runs, options.repeats)
    result["sampling"] = {name: {
        "batch": options.batch, "seconds_per_picture": spent[name] / options.batch,
        "times_classifier_free": spent[name] / spent["classifier_free"],
        "first_call_s": first[name]} for name in runs}

    if not options.no_training:
        result["training"] = training_speed(model, config, params, people, options.repeats)
    result["total_s"] = time.perf_counter() - begun
    result["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
