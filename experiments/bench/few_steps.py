"""Quality for cost: samplers and time grids by evaluations of the denoiser, on rendered test people.

    python -m repose_jax.experiments.bench.few_steps MODEL [--pairs 64] [--steps 2 4 8]

MODEL samples from noise and knows rendered people (preset small-people). The denoiser is compiled once
and all samplers are driven from here, with the model's own classifier-free weight and no gradient
guidance; the pictures are those of `repose transfer` but for rounding. A row of the Markdown table for
each: the distance to the picture that 64 evaluations of DDIM make of the same noise (root mean square,
[-1, 1] units: what the sampler itself gets wrong), pose error by `estimator-people`, which guides
nothing here, SSIM and L1 with the real picture.
"""

from __future__ import annotations

import argparse

import jax
import jax.numpy as jnp
import numpy as np

from repose_jax.common.signal import to_image, to_signal
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.stream import examples
from repose_jax.diffusion import solvers
from repose_jax.diffusion.guidance import classifier_free, stack_branches, two_branch
from repose_jax.diffusion.prediction import from_x0
from repose_jax.diffusion.samplers import initial_noise
from repose_jax.evaluation.evaluators.sampled import choose_pairs
from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.metric import scores
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.report.score_table import score
from repose_jax.models.pose_predictor import PoseReader
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.weights import load_model

WAYS = (("ddim", "uniform"), ("ddim", "trailing"), ("dpm++2m", "trailing"), ("unipc", "trailing"),
        ("heun", "trailing"), ("dpm++2m", "log-snr"), ("dpm++2m", "uniform"))
SHOWN = ("pose_error", "ssim", "l1")


class Painter:
    """Some pairs' conditions, made once, and their denoiser, compiled once."""

    def __init__(self, loaded, batch):
        self.model, self.params = loaded.model, loaded.params
        coefficients = two_branch(loaded.sample.source_weight)
        source = to_signal(jnp.asarray(batch["source"]))
        poses = batch["source_pose"], batch["target_pose"]
        condition = jax.jit(self.model.condition, static_argnums=4)
        context = stack_branches(*(
            condition(self.params, source, *poses, branch) for branch in coefficients))

        @jax.jit
        def denoise(params, context, y, t):
            denoiser = classifier_free(
                self.model.denoiser(params, context), tuple(coefficients.values()))
            return jnp.clip(denoiser(y, jnp.full(len(y), t)).x0, -1, 1)

        self._denoise = lambda y, t: denoise(self.params, context, y, jnp.int32(t))
        keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(np.arange(len(source)))
        self.noise = initial_noise(keys, source.shape[1:])

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


def main() -> None:
    """Measures and prints; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--steps", type=int, nargs="+", default=(2, 4, 8, 16))
    options = parser.parse_args()
    loaded = load_model(options.model)
    network = loaded.model.config.network
    people = DataConfig(path="people").open(
        "test", skeleton=network.skeleton, size=network.image_size)
    chosen = choose_pairs(people, options.pairs, 0)
    batch = examples(people, chosen)
    painter = Painter(loaded, batch)
    measured = tuple(one for one in scores(Instruments(
        size=people.size, poses=PoseReader.load("estimator-people"), windows=()))
        if one.name in SHOWN)

    reference = painter(SampleConfig(steps=64))
    print(f"| sampler, times, evaluations | distance | {' | '.join(SHOWN)} |\n"
          f"|---|---{'|---' * len(SHOWN)}|")
    rows = [(SampleConfig(steps=64), reference)] + [
        (config, painter(config)) for steps in options.steps for sampler, times in WAYS
        for config in [SampleConfig(steps=steps, sampler=sampler, times=times)]]
    for config, signal in rows:
        pictures = PictureBatch(
            np.asarray(to_image(signal)), batch["target"], batch["source"], batch["source_pose"],
            batch["target_pose"], people.skeleton, np.asarray(people.pairs[chosen]))
        found = score("", [(pictures, len(chosen))], measured).values
        distance = float(jnp.sqrt(jnp.mean((signal - reference) ** 2)))
        means = " | ".join(f"{np.nanmean(found[name]):.4f}" for name in SHOWN)
        print(f"| {config.sampler}, {config.times}, {config.steps} | {distance:.4f} | {means} |",
              flush=True)


if __name__ == "__main__":
    main()
