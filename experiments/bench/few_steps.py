"""Quality for cost: samplers and time grids by evaluations of the denoiser, on rendered test people.

    python -m repose_jax.experiments.bench.few_steps MODEL [--pairs 64] [--steps 2 4 8 16]
        [--samplers ddim dpm++2m unipc heun]

MODEL samples from noise and knows rendered people (preset small-people). The denoiser is compiled once
and all samplers are driven from here, with the model's own classifier-free weight and no gradient
guidance; the pictures are those of `repose transfer` but for rounding. A row of the Markdown table for
each: the distance to the picture that 32 evaluations of DDIM make of the same noise (root mean square,
[-1, 1] units: what the sampler itself gets wrong); pose error by `estimator-people`, which guides
nothing here, with its 95 % interval over people; its paired difference to those 32 evaluations; SSIM
and L1 of the person; KID to the pairs' real targets by the features of `reid-market1501`, which knows
no rendered people.
"""

from __future__ import annotations

import argparse

import jax
import jax.numpy as jnp
import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.common.signal import to_image, to_signal
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.stream import examples
from repose_jax.diffusion import solvers
from repose_jax.diffusion.guidance import classifier_free, stack_branches, two_branch
from repose_jax.diffusion.prediction import from_x0
from repose_jax.diffusion.samplers import initial_noise
from repose_jax.evaluation.evaluators.reid_features import FeatureReader, Gallery
from repose_jax.evaluation.evaluators.sampled import choose_pairs
from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.metric import scores
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.report.score_table import score
from repose_jax.evaluation.statistics.bootstrap import Bootstrap
from repose_jax.models.pose_predictor import PoseReader
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.weights import load_model

WAYS = (("ddim", "uniform"), ("ddim", "trailing"), ("dpm++2m", "trailing"), ("unipc", "trailing"),
        ("heun", "trailing"))
SHOWN = ("pose_error", "mask_gaussian_ssim", "inside_l1", "kid_reid")
REFERENCE = 32


class Painter:
    """Some pairs' conditions, made once, and their denoiser, compiled once."""

    def __init__(self, loaded, batch):
        self.model, self.params = loaded.model, loaded.params
        coefficients = two_branch(loaded.sample.source_weight)
        self.coefficients = tuple(coefficients.values())
        source = to_signal(jnp.asarray(batch["source"]))
        poses = batch["source_pose"], batch["target_pose"]
        condition = jax.jit(self.model.condition, static_argnums=4)
        self.context = stack_branches(*(
            condition(self.params, source, *poses, branch) for branch in coefficients))

        self._denoised = jax.jit(self.predict_x0)
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(np.arange(len(source)))
        self.noise = initial_noise(keys, source.shape[1:])

    def predict_x0(self, params, context, y, t):
        """What is evaluated: the guided x0, [-1, 1], at one time step for all."""
        denoiser = classifier_free(self.model.denoiser(params, context), self.coefficients)
        return jnp.clip(denoiser(y, jnp.full(len(y), t)).x0, -1, 1)

    def _denoise(self, y, t):
        return self._denoised(self.params, self.context, y, jnp.int32(t))

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


class Judge:
    """Scores the pictures of some pairs."""

    def __init__(self, people, chosen, batch):
        reader = FeatureReader.load("reid-market1501", people.size)
        self._batch, self._skeleton = batch, people.skeleton
        self._pairs = np.asarray(people.pairs)[chosen]
        persons = np.asarray(people.persons)[self._pairs[:, 0]]
        self._scores = {one.name: one for one in scores(Instruments(
            size=people.size, poses=PoseReader.load("estimator-people"), identities=reader,
            gallery=Gallery(reader(batch["target"]), persons, np.arange(len(persons))),
            windows=())) if one.name in SHOWN}
        self._people = Bootstrap(persons)
        self._reference = None

    def __call__(self, pictures) -> str:
        """Cells of the table; the first pictures are what the pose error is compared with."""
        batch = self._batch
        table = score("", [(PictureBatch(
            pictures, batch["target"], batch["source"], batch["source_pose"],
            batch["target_pose"], self._skeleton, self._pairs), len(pictures))],
            tuple(self._scores.values()))
        found = {name: one.statistic.of(table.kept[one.key], self._people)
                 for name, one in self._scores.items()}
        own = table.kept["pose_error"]
        self._reference = own if self._reference is None else self._reference
        change, error = self._people.difference(own, self._reference), found["pose_error"]
        return " | ".join([
            f"{error.value:.4f} [{error.low:.4f}, {error.high:.4f}]",
            f"{change.value:+.4f} [{change.low:+.4f}, {change.high:+.4f}]",
            *(f"{found[name].value:.4f}" for name in SHOWN[1:])])


def main() -> None:
    """Measures and prints; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--steps", type=int, nargs="+", default=(2, 4, 8, 16))
    samplers = tuple(dict(WAYS))
    parser.add_argument("--samplers", nargs="+", choices=samplers, default=samplers)
    options = parser.parse_args()
    try:
        loaded = load_model(options.model)
        network = loaded.model.config.network
        if network.paints:
            raise UserError(options.model, "refines a painted picture",
                            "give a model that begins with noise")
        people = DataConfig(path="people").open(
            "test", skeleton=network.skeleton, size=network.image_size)
        chosen = choose_pairs(people, options.pairs, 0)
    except UserError as error:
        parser.error(str(error))
    batch = examples(people, chosen)
    painter, judge = Painter(loaded, batch), Judge(people, chosen, batch)

    print("| sampler, times, evaluations | distance | pose error | its difference "
          "| SSIM of the person | L1 within the person | KID |\n|---|---|---|---|---|---|---|",
          flush=True)
    reference = None
    for config in [SampleConfig(steps=REFERENCE)] + [
            SampleConfig(steps=steps, sampler=sampler, times=times)
            for steps in options.steps for sampler, times in WAYS
            if sampler in options.samplers]:
        signal = painter(config)
        reference = signal if reference is None else reference
        distance = float(jnp.sqrt(jnp.mean((signal - reference) ** 2)))
        print(f"| {config.sampler}, {config.times}, {config.steps} | {distance:.4f} | "
              f"{judge(np.asarray(to_image(signal)))} |", flush=True)
    for name in ("target", "source"):
        print(f"| real {name} | | {judge(batch[name])} |")


if __name__ == "__main__":
    main()
