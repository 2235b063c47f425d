"""Quality for cost: samplers and time grids by evaluations of the denoiser, on rendered test people.

    python -m repose_jax.experiments.bench.few_steps MODEL [--pairs 64] [--steps 2 4 8 16]
        [--samplers ddim dpm++2m unipc heun] [--keep FOLDER]

MODEL samples from noise and knows rendered people (preset small-people). The denoiser is compiled once
and all samplers are driven from here, with the model's own classifier-free weight and no gradient
guidance; the pictures are those of `repose transfer` but for rounding. A row of a Markdown table for
each, as soon as it is painted: the distance to the picture that 32 evaluations of DDIM make of the same
noise (root mean square, [-1, 1] units: what the sampler itself gets wrong); pose error by
`estimator-people`, which guides nothing here; SSIM and L1 of the person; likeness to the source and KID
to the pairs' real targets by the features of `reid-market1501`, which knows no rendered people.

A second table then says what the fewest evaluations within 1 % of the best are. For each measure and
row: the change from the measure's best row, in percent of it, paired, with its 95 % interval over
people; KID, which lies about 0, in its own unit.

`--keep` keeps each row's pictures in a folder: the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
import zipfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from repose_jax.common.batching import parts
from repose_jax.common.errors import UserError
from repose_jax.common.files import check_writable, write_whole
from repose_jax.common.signal import to_image, to_signal
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.stream import examples
from repose_jax.diffusion import solvers
from repose_jax.diffusion.guidance import classifier_free, stack_branches, two_branch
from repose_jax.diffusion.prediction import from_x0
from repose_jax.diffusion.samplers import initial_noise
from repose_jax.evaluation.evaluators.reid_features import FeatureReader, Gallery
from repose_jax.evaluation.evaluators.sampled import choose_pairs
from repose_jax.evaluation.metrics.identity import REID, cosine
from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.kid import polynomial_mmd
from repose_jax.evaluation.metrics.metric import scores
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.report.score_table import score
from repose_jax.evaluation.statistics.bootstrap import Bootstrap, Interval
from repose_jax.evaluation.statistics.jackknife import jackknife
from repose_jax.models.pose_predictor import PoseReader
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.weights import load_model

WAYS = (("ddim", "uniform"), ("ddim", "trailing"), ("dpm++2m", "trailing"), ("unipc", "trailing"),
        ("heun", "trailing"))
MEANS = {"pose_error": "pose error", "mask_gaussian_ssim": "SSIM of the person",
         "inside_l1": "L1 within the person", "likeness": "likeness to the source"}
"""What is a mean over pictures, and its title."""
HIGHER = ("mask_gaussian_ssim", "likeness")
KID = "kid_reid"
REFERENCE = 32
AT_ONCE = 25


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
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(numbers)
        self.noise = initial_noise(keys, source.shape[1:])

    def predict_x0(self, params, context, y, t):
        """What is evaluated: the guided x0, [-1, 1], at one time step for all."""
        return _predict_x0(self.model, self.coefficients, params, context, y, t)

    def _denoise(self, y, t):
        return _denoised(
            self.model, self.coefficients, self.params, self.context, y, jnp.int32(t))

    def __call__(self, config: SampleConfig) -> jax.Array:
        """Signals, [-1, 1]."""
        schedule, stepper, y = self.model.schedule, config.stepper(), self.noise
        times = config.evaluated(schedule)
        if isinstance(stepper, solvers.Solver):
            memory = solvers.start(y)
            for row, t in zip(stepper.table(schedule, times), times, strict=True):
                y, memory = solvers.update(jnp.float32(row), self._denoise(y, t), y, memory)
        else:
            for t, to in zip(times, [*times[1:], -1], strict=True):
                at, after = (jnp.full(len(y), time) for time in (t, to))
                prediction = from_x0(self._denoise(y, t), y, schedule.alpha_bar(at))
                y = stepper.update(schedule, prediction, y, at, after, jnp.zeros_like(y))
        return y


def painted(loaded, batch, config: SampleConfig) -> np.ndarray:
    """Pictures of all pairs, so many at a time."""
    pictures = []
    for some, real in parts(len(batch["source"]), AT_ONCE):
        painter = Painter(loaded, {name: value[some] for name, value in batch.items()}, some)
        pictures.append(np.asarray(to_image(painter(config)))[:real])
    return np.concatenate(pictures)


class Row(NamedTuple):
    """What is known of a way to sample: the means' values of each picture, and features."""

    name: str
    steps: int
    values: dict[str, np.ndarray]
    features: np.ndarray


class Judge:
    """Scores the pictures of some pairs."""

    def __init__(self, people, chosen, batch):
        reader = FeatureReader.load("reid-market1501", people.size)
        self._batch, self._skeleton = batch, people.skeleton
        self._pairs = np.asarray(people.pairs)[chosen]
        self._persons = np.asarray(people.persons)[self._pairs[:, 0]]
        self._targets, self._sources = (reader(batch[name]) for name in ("target", "source"))
        measured = scores(Instruments(
            size=people.size, poses=PoseReader.load("estimator-people"), identities=reader,
            gallery=Gallery(self._targets, self._persons, np.arange(len(self._persons))),
            windows=()))
        self._scores = tuple(one for one in measured if one.name in (*MEANS, KID))
        self._people = Bootstrap(self._persons)

    def __call__(self, name: str, steps: int, pictures) -> Row:
        batch = self._batch
        kept = score(name, [(PictureBatch(
            pictures, batch["target"], batch["source"], batch["source_pose"],
            batch["target_pose"], self._skeleton, self._pairs), len(pictures))], self._scores).kept
        features = kept.pop(REID)
        return Row(name, steps, kept | {"likeness": cosine(features, self._sources)}, features)

    def cells(self, row: Row) -> str:
        """Of the first table."""
        error = self._people.mean(row.values["pose_error"])
        return " | ".join([
            f"{error.value:.4f} [{error.low:.4f}, {error.high:.4f}]",
            *(f"{row.values[name].mean():.4f}" for name in list(MEANS)[1:]),
            f"{polynomial_mmd(self._targets, row.features):.4f}"])

    def changes(self, rows: list[Row]) -> Iterator[tuple[str, Row, list[Interval]]]:
        """Each measure, its best row, and every row's change from it; see the module."""
        for name, title in MEANS.items():
            first = max if name in HIGHER else min
            best = first(rows, key=lambda row: row.values[name].mean())
            yield title, best, [self._people.relative(row.values[name], best.values[name])
                                for row in rows]

        def distance(row: Row, some=slice(None)) -> float:
            return polynomial_mmd(self._targets[some], row.features[some])

        best = min(rows, key=distance)
        yield "KID", best, [jackknife(lambda some, row=row: distance(row, some) - distance(best, some),
                                      self._persons) for row in rows]


def compared(judge: Judge, rows: list[Row]) -> str:
    """The second table; see the module."""
    columns, fewest = [], []
    for title, best, changes in judge.changes(rows):
        scale = 1 if title == "KID" else 100
        columns.append((title, [f"{scale * c.value:+.3g} [{scale * c.low:+.3g}, {scale * c.high:+.3g}]"
                                if row is not best else "best" for row, c in zip(rows, changes)]))
        if title != "KID":
            near = [row.steps for row, c in zip(rows, changes) if abs(c.value) <= 0.01]
            shown = [row.steps for row, c in zip(rows, changes)
                     if row is best or max(abs(c.low), abs(c.high)) <= 0.01]
            fewest.append(f"{title}: best {best.name}; fewest evaluations whose value is within 1 % "
                          f"of it {min(near)}, whose interval is {min(shown)}")
    lines = ["| | " + " | ".join(title for title, _ in columns) + " |",
             "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {row.name} | " + " | ".join(cells[i] for _, cells in columns) + " |"
              for i, row in enumerate(rows)]
    return "\n".join([*lines, "", *fewest])


def kept(folder: pathlib.Path | None, name: str, facts: dict[str, str],
         paint: Callable[[], np.ndarray]) -> np.ndarray:
    """A row's pictures, from the folder where they are there.

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
                    return file["pictures"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            pass  # no file of ours is refused below, too
        raise UserError(path, "holds no pictures of this model and these pairs",
                        "give another folder to --keep")
    pictures = paint()
    write_whole(path, lambda file: np.savez(file, pictures=pictures, **facts))
    return pictures


def main() -> None:
    """Measures and prints; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--steps", type=int, nargs="+", default=(2, 4, 8, 16))
    samplers = tuple(dict(WAYS))
    parser.add_argument("--samplers", nargs="+", choices=samplers, default=samplers)
    parser.add_argument("--keep", type=pathlib.Path)
    options = parser.parse_args()
    try:
        measure(options)
    except UserError as error:
        parser.error(str(error))


def measure(options: argparse.Namespace) -> None:
    """See the module.

    Raises:
      UserError: for a model, pairs or a folder that cannot be used.
    """
    loaded = load_model(options.model)
    network = loaded.model.config.network
    if network.paints:
        raise UserError(options.model, "refines a painted picture",
                        "give a model that begins with noise")
    people = DataConfig(path="people").open(
        "test", skeleton=network.skeleton, size=network.image_size)
    chosen = choose_pairs(people, options.pairs, 0)
    if options.keep is not None:
        check_writable(options.keep)
    batch = examples(people, chosen)
    judge = Judge(people, chosen, batch)
    facts = {"model": loaded.sha256, "pairs": str(chosen.tolist())}

    print("| sampler, times, evaluations | distance | " + " | ".join(MEANS.values()) + " | KID |\n"
          + "|---" * (len(MEANS) + 3) + "|", flush=True)
    reference, rows = None, []
    for config in [SampleConfig(steps=REFERENCE)] + [
            SampleConfig(steps=steps, sampler=sampler, times=times)
            for steps in options.steps for sampler, times in WAYS
            if sampler in options.samplers]:
        name = f"{config.sampler}, {config.times}, {config.steps}"
        pictures = kept(options.keep, name, facts,
                        functools.partial(painted, loaded, batch, config))
        signal = np.asarray(to_signal(pictures))
        reference = signal if reference is None else reference
        rows.append(judge(name, config.steps, pictures))
        print(f"| {name} | {np.sqrt(np.mean((signal - reference) ** 2)):.4f} "
              f"| {judge.cells(rows[-1])} |", flush=True)
    for name in ("target", "source"):
        print(f"| real {name} | | {judge.cells(judge(name, 0, batch[name]))} |")
    print(f"\n{compared(judge, rows)}")


if __name__ == "__main__":
    main()
