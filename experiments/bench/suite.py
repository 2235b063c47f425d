"""What `repose bench` measures."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.common.versions import versions
from repose_jax.data.pairs.stream import batches, examples
from repose_jax.data.people.renderer import render_person
from repose_jax.data.people.source import rendered_people
from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.metric import scores
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.report.score_table import score
from repose_jax.experiments.bench.cost import (
    interleaved, seconds, training_operations, training_run, ways_to_sample)
from repose_jax.experiments.bench.result import FORMAT
from repose_jax.models.pose_energy_file import load_guide
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import GuidanceConfig, SampleConfig
from repose_jax.models.sampling import generate
from repose_jax.models.weights import save_model
from repose_jax.pose.formats import NamedPose
from repose_jax.pose.pose_writers import write_pose
from repose_jax.tasks.pose_transfer import ExperimentConfig

SAMPLERS = (("ddim", "uniform"), ("dpm++2m", "trailing"), ("unipc", "trailing"),
            ("heun", "trailing"))

Run = Callable[[], Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Amount:
    """How much is measured.

    Attributes:
      batch: pictures sampled at a time.
      steps: evaluations of the denoiser, each of them with every sampler.
      repeats: rounds; in each, everything is run once, one after another.
      training: also the training step.
      start: also how long a fresh process takes to its first picture.
      only: parts of names: only measures that have one of them in theirs; none means all.
    """

    batch: int = 1
    steps: tuple[int, ...] = (4,)
    repeats: int = 5
    training: bool = True
    start: bool = True
    only: tuple[str, ...] = ()


def measured(preset: str, config: ExperimentConfig, amount: Amount) -> dict[str, Any]:
    """Everything that a file of `repose bench` says, JSON-able.

    Args:
      preset: its name.
      config: the preset; its network is given fresh parameters.
      amount: how much is measured.

    Raises:
      UserError: no measure has any of the names in `amount.only`.
    """
    begun, load = time.perf_counter(), os.getloadavg()[0]
    model, network = RePoseModel(config.model), config.model.network
    people = rendered_people(identities=8, views=2, size=network.image_size,
                             skeleton=network.skeleton)
    params = jax.jit(model.init)(jax.random.key(0))
    runs = _sampling(model, config, params, people, amount) | _data_and_metrics(people, network)
    if amount.training:
        runs |= {"training step": training_run(model, config, params, people)}
    if amount.only:
        names = list(runs)
        runs = {name: run for name, run in runs.items() if any(p in name for p in amount.only)}
        if not runs:
            raise UserError("only", f"is {', '.join(amount.only)}, of which nothing is measured",
                            f"give parts of {'; '.join(names)}")
    first = {name: seconds(run, 1) for name, run in runs.items()}  # compiles
    spent = interleaved(runs, amount.repeats)
    start = _starts(config, params, people) if amount.start else {}
    return {
        "format": FORMAT, "preset": preset,
        "amount": dataclasses.asdict(amount)
        | {"steps": list(amount.steps), "only": list(amount.only)},
        "machine": {"processor": platform.processor() or platform.machine(),
                    "system": platform.platform(), "cores": os.cpu_count(),
                    "devices": list(map(str, jax.devices())),
                    "load": [round(load, 2), round(os.getloadavg()[0], 2)]},
        "versions": versions(("repose_jax", "jax", "jaxlib", "flax", "numpy"))
        | {"python": platform.python_version()},
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "training_gflop_per_pair": training_operations(model, config) / 1e9,
        "first_s": first, "start_s": start,
        "times_s": {name: [one.wall for one in each] for name, each in spent.items()},
        "processor_s": {name: [one.processor for one in each] for name, each in spent.items()},
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "total_s": time.perf_counter() - begun}


def _sampling(model, config, params, people, amount: Amount) -> dict[str, Run]:
    """One evaluation of the denoiser, and whole pictures: each sampler plain, each guidance by DDIM,
    and the preset's own settings with and without their gradient guidance."""
    pairs = examples(people, range(amount.batch))
    keys = jax.random.split(jax.random.key(0), amount.batch)
    inputs = pairs["source"], pairs["source_pose"], pairs["target_pose"], keys
    zeros = jax.numpy.zeros((amount.batch, *config.model.network.image_size, 3))
    present = jax.numpy.ones(amount.batch)
    forward = jax.jit(functools.partial(model.network.apply, method="everything"))
    runs: dict[str, Run] = {"forward, source encoder and one evaluation": lambda: forward(
        {"params": params}, zeros, jax.numpy.zeros(amount.batch), zeros, pairs["source_pose"],
        pairs["target_pose"], present)}
    wanted = {"the preset's own": config.sample}
    if config.sample.guidance.active:
        wanted["the preset's own without gradient guidance"] = dataclasses.replace(
            config.sample, guidance=GuidanceConfig())
    for steps in amount.steps:
        ways = ways_to_sample(config.sample, steps)
        plain = ways.pop("no_guidance")
        wanted |= {f"{sampler} {times}, {steps}": dataclasses.replace(
            plain, sampler=sampler, times=times) for sampler, times in SAMPLERS}
        wanted |= {f"{name}, {steps}": sample for name, sample in ways.items()}
    for name, sample in wanted.items():
        guide = load_guide(sample.guidance, config.model.network)
        runs[f"sampling, {name}"] = functools.partial(
            generate, model, params, *inputs, sample, False, guide)
    return runs


def _data_and_metrics(people, network) -> dict[str, Run]:
    stream = batches(people, batch_size=8, seed=0)
    batch = examples(people, range(8))
    pictures = PictureBatch(batch["source"], batch["target"], batch["source"],
                            batch["source_pose"], batch["target_pose"], people.skeleton,
                            np.asarray(people.pairs[:8]))
    cheap = scores(Instruments(size=people.size, windows=()))
    return {"data, a rendered picture": lambda: render_person(0, 1, 0, network.image_size).image,
            "data, a batch of 8 pairs": lambda: next(stream)["source"],
            "metrics without networks, 8 pictures": lambda: score(
                "", [(pictures, 8)], cheap).kept}


def one_step(sample: SampleConfig) -> SampleConfig:
    """A preset's settings for one unguided step from noise, of whatever model."""
    return dataclasses.replace(
        sample, steps=1, start=1.0, temperature=1.0,
        guidance=dataclasses.replace(sample.guidance, pif=0.0, target=0.0))


def _starts(config, params, people) -> dict[str, float]:
    """From nothing to a picture in a process of its own: with nothing compiled, and once more."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        save_model(root / "model.safetensors", config.model, params, {}, one_step(config.sample))
        pair = examples(people, [0])
        Image.fromarray(pair["source"][0]).save(root / "photo.png")
        for name in ("source", "target"):
            write_pose(root / f"{name}.json", NamedPose(
                pose=pair[f"{name}_pose"][0], name=name, skeleton=people.skeleton,
                size=people.size), "ours")
        words = [sys.executable, "-m", "repose_jax.cli", "transfer", str(root / "photo.png"),
                 "--source-pose", str(root / "source.json"), "--pose", str(root / "target.json"),
                 "--model", str(root / "model.safetensors"), "--output", str(root / "out.png")]
        for name in ("cold", "warm"):
            begun = time.perf_counter()
            subprocess.run(words, check=True, capture_output=True,
                           env={**os.environ, "JAX_COMPILATION_CACHE_DIR": str(root / "cache")})
            found[name] = time.perf_counter() - begun
    return found
