"""Quality for cost: samplers and time grids by evaluations of the denoiser, on test people.

    python -m repose_jax.experiments.bench.few_steps MODEL [--pairs 64] [--steps 2 4 8 16]
        [--samplers ddim dpm++2m unipc heun] [--interval 0 1] [--keep FOLDER]
        [--data people] [--judge estimator-people] [--beside PAINTER]

MODEL samples from noise and knows the people of --data: rendered ones (preset small-people), or a
folder of real ones. The denoiser is compiled once and all samplers are driven from here, with the
model's own classifier-free weight, in the part of the sampling that `--interval` says (once or more),
and no gradient guidance; the pictures are those of `repose transfer` but for rounding. A row of a
Markdown table for each, as soon as it is painted: processor seconds a picture, of batches of 25 after
the first; the distance to the picture that 32 evaluations of DDIM make of the same noise (root mean
square, [-1, 1] units: what the sampler itself gets wrong); pose error by the judge, which guides
nothing here; of real people, the share found first among all test pictures; SSIM and L1 of the person;
likeness to the source and KID to the pairs' real targets by the features of `reid-market1501`.
`--beside` adds a row of a model that paints, by its own settings without gradient guidance.

A second table then says what the fewest evaluations within 1 % of the best are. For each measure and
row: the change from the measure's best row, in percent of it, paired, with its 95 % interval over
people; found first and KID, which may be 0, in their own unit.

`--keep` keeps each row's pictures in a folder: the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import pathlib
import time
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from repose_jax.common.batching import parts
from repose_jax.common.errors import UserError
from repose_jax.common.files import check_writable, write_whole
from repose_jax.common.signal import to_image, to_signal
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.source import Batch
from repose_jax.data.pairs.stream import examples
from repose_jax.diffusion import solvers
from repose_jax.diffusion.guidance import classifier_free, stack_branches, two_branch
from repose_jax.diffusion.prediction import from_x0
from repose_jax.diffusion.samplers import initial_noise
from repose_jax.evaluation.evaluators.sampled import choose_pairs
from repose_jax.experiments.bench.quality import Judge
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import GuidanceConfig, SampleConfig, steps_inside
from repose_jax.models.sampling import generate
from repose_jax.models.weights import PretrainedModel, load_model

WAYS = (("ddim", "uniform"), ("ddim", "trailing"), ("dpm++2m", "trailing"), ("unipc", "trailing"),
        ("heun", "trailing"))
REFERENCE = 32
AT_ONCE = 25


def _keys(numbers):
    """A key for each pair's number, whatever the batch that it is in."""
    return jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(numbers)


@functools.partial(jax.jit, static_argnums=(0, 5))
def _condition(model: RePoseModel, params, source, source_pose, target_pose, branch):
    return model.condition(params, source, source_pose, target_pose, branch)


def _predict_x0(model: RePoseModel, coefficients: tuple[float, ...], params, context, y, t):
    denoiser = classifier_free(model.denoiser(params, context), coefficients)
    return jnp.clip(denoiser(y, jnp.full(len(y), t)).x0, -1, 1)


_denoised = jax.jit(_predict_x0, static_argnums=(0, 1))


class Painter:
    """Some pairs' conditions, made once, and their denoiser, compiled once for a number of pairs.

    Attributes:
      model, params: as loaded.
      coefficients: of the classifier-free branches.
      context: what the branches are conditioned on.
      noise: what sampling begins with, that of the pairs' numbers.
    """

    def __init__(self, loaded, batch, numbers=None):
        """Args:
          loaded: the model.
          batch: the pairs.
          numbers: of the pairs, which give the noise; by default 0, 1, ...
        """
        self.model, self.params = loaded.model, loaded.params
        coefficients = two_branch(loaded.sample.source_weight)
        self.coefficients = tuple(coefficients.values())
        source = to_signal(jnp.asarray(batch["source"]))
        poses = batch["source_pose"], batch["target_pose"]
        self.context = stack_branches(*(
            _condition(self.model, self.params, source, *poses, branch) for branch in coefficients))
        numbers = np.arange(len(source)) if numbers is None else numbers
        self.noise = initial_noise(_keys(numbers), source.shape[1:])

    def predict_x0(self, params, context, y, t):
        """What is evaluated: the guided x0, [-1, 1], at one time step for all."""
        return _predict_x0(self.model, self.coefficients, params, context, y, t)

    def _denoise(self, y, t):
        return _denoised(
            self.model, self.coefficients, self.params, self.context, y, jnp.int32(t))

    def _unweighted(self, y, t):
        """The prediction given source and pose, which are the last branch's conditions."""
        own = jax.tree.map(lambda leaf: leaf[-len(y):], self.context)
        return _denoised(self.model, (1.0,), self.params, own, y, jnp.int32(t))

    def __call__(self, config: SampleConfig) -> Float[jax.Array, "pairs h w 3"]:
        """Signals, [-1, 1], by the steps, sampler, times and classifier-free interval of `config`."""
        schedule, stepper, y = self.model.schedule, config.stepper(), self.noise
        times = config.evaluated(schedule)
        first, end = steps_inside(config.classifier_free_interval, config.steps)
        predictions = [self._denoise if first <= i < end else self._unweighted
                       for i in range(len(times))]
        if isinstance(stepper, solvers.Solver):
            memory = solvers.start(y)
            table = stepper.table(schedule, times)
            for row, t, predict in zip(table, times, predictions, strict=True):
                y, memory = solvers.update(jnp.float32(row), predict(y, t), y, memory)
        else:
            for t, to, predict in zip(times, [*times[1:], -1], predictions, strict=True):
                at, after = (jnp.full(len(y), time) for time in (t, to))
                prediction = from_x0(predict(y, t), y, schedule.alpha_bar(at))
                y = stepper.update(schedule, prediction, y, at, after, jnp.zeros_like(y))
        return y


class Painted(NamedTuple):
    """What a way made of the pairs.

    Attributes:
      pictures: of all pairs.
      seconds: of the processor for each, of those after the first batch, which compiles; NaN where
        that is not known.
    """

    pictures: UInt8[np.ndarray, "pairs h w 3"]
    seconds: float


Paint = Callable[[Batch, Int[np.ndarray, "n"]], UInt8[jax.Array, "n h w 3"]]
"""(some pairs, their numbers) -> pictures; the numbers give the noise."""


def stepped(loaded: PretrainedModel, config: SampleConfig) -> Paint:
    """Paints step by step from here, with the model's own classifier-free weight."""
    return lambda batch, numbers: to_image(Painter(loaded, batch, numbers)(config))


def packaged(loaded: PretrainedModel, config: SampleConfig) -> Paint:
    """Paints as the package does."""
    def paint(batch, numbers):
        return generate(loaded.model, loaded.params, batch["source"], batch["source_pose"],
                        batch["target_pose"], _keys(numbers), config)[0]

    return paint


def painted(paint: Paint, batch: Batch) -> Painted:
    """All pairs, so many at a time."""
    pictures, seconds = [], []
    for some, real in parts(len(batch["source"]), AT_ONCE):
        begun = time.process_time()
        made = np.asarray(paint({name: value[some] for name, value in batch.items()}, some))
        seconds.append((time.process_time() - begun) / len(some))
        pictures.append(made[:real])
    return Painted(np.concatenate(pictures), float(np.median(seconds[1:] or [math.nan])))


def kept(folder: pathlib.Path | None, name: str, facts: dict[str, str],
         paint: Callable[[], Painted]) -> Painted:
    """What a row's way made, from the folder where it is there.

    Raises:
      UserError: the folder holds something else under the row's name.
    """
    if folder is None:
        return paint()
    path = folder / f"{name.replace(', ', '-')}.npz"
    if path.exists():
        try:
            with np.load(path) as file:
                if {key: str(file[key]) for key in facts} == facts:
                    return Painted(file["pictures"], float(file.get("seconds", math.nan)))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            pass  # no file of ours is refused below, too
        raise UserError(path, "holds no pictures of this model and these pairs",
                        "give another folder to --keep")
    made = paint()
    write_whole(path, lambda file: np.savez(file, **made._asdict(), **facts))
    return made


def main() -> None:
    """Measures and prints; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--steps", type=int, nargs="+", default=(2, 4, 8, 16))
    samplers = tuple(dict(WAYS))
    parser.add_argument("--samplers", nargs="+", choices=samplers, default=samplers)
    parser.add_argument("--interval", type=float, nargs=2, action="append",
                        metavar=("FIRST", "LAST"), help="0 is noise, 1 the picture; once or more")
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--data", default="people")
    parser.add_argument("--judge", default="estimator-people")
    parser.add_argument("--beside", help="a model that paints")
    options = parser.parse_args()
    try:
        measure(options)
    except UserError as error:
        parser.error(str(error))


def named(config: SampleConfig) -> str:
    """What a row is called."""
    name = f"{config.sampler}, {config.times}, {config.steps}"
    first, last = config.classifier_free_interval
    return name if (first, last) == (0, 1) else f"{name}, guided {first:g} to {last:g}"


def measure(options: argparse.Namespace) -> None:
    """See the module.

    Raises:
      UserError: for a model, data, pairs or a folder that cannot be used.
    """
    loaded = load_model(options.model)
    network = loaded.model.config.network
    if network.paints:
        raise UserError(options.model, "refines a painted picture",
                        "give a model that begins with noise")
    configs = [SampleConfig(steps=REFERENCE)] + [
        SampleConfig(steps=steps, sampler=sampler, times=times, classifier_free_interval=interval)
        for steps in options.steps for sampler, times in WAYS if sampler in options.samplers
        for interval in map(tuple, options.interval or [(0.0, 1.0)])]
    ways = [(named(config), config.steps, loaded, stepped(loaded, config), "")
            for config in configs]
    if options.beside is not None:
        other = load_model(options.beside)
        own = other.model.config.network
        if (own.skeleton, tuple(own.image_size)) != (network.skeleton, tuple(network.image_size)):
            raise UserError(options.beside, "is for other poses or sizes than the model beside it",
                            "give --beside one of the same")
        sample = dataclasses.replace(other.sample, guidance=GuidanceConfig())
        ways.append((f"{pathlib.Path(options.beside).stem}, {sample.steps}", sample.steps, other,
                     packaged(other, sample), str(sample)))
    people = DataConfig(path=options.data).open(
        "test", skeleton=network.skeleton, size=network.image_size)
    chosen = choose_pairs(people, options.pairs, 0)
    if options.keep is not None:
        check_writable(options.keep)
    batch = examples(people, chosen)
    judge = Judge(people, chosen, batch, judge=options.judge)
    comparison = judge.comparison

    print("| sampler, times, evaluations | processor, s | distance | "
          + " | ".join(comparison.titles.values()) + " | KID |\n"
          + "|---" * (len(comparison.titles) + 4) + "|", flush=True)
    reference, rows = None, []
    for name, steps, model, paint, settings in ways:
        facts = {"model": model.sha256, "pairs": str(chosen.tolist())} | (
            {"settings": settings} if settings else {})
        made = kept(options.keep, name, facts, functools.partial(painted, paint, batch))
        signal = np.asarray(to_signal(made.pictures))
        reference = signal if reference is None else reference
        distance = f"{np.sqrt(np.mean((signal - reference) ** 2)):.4f}" if model is loaded else ""
        rows.append(judge(name, steps, made.pictures))
        print(f"| {name} | {made.seconds:.3g} | {distance} | {comparison.cells(rows[-1])} |",
              flush=True)
    for name in ("target", "source"):
        print(f"| real {name} | | | {comparison.cells(judge(name, 0, batch[name]))} |")
    competing = rows[:len(configs)]
    print(f"\n{comparison.table(competing, rows[len(configs):])}")


if __name__ == "__main__":
    main()
