"""PIDM's own code in PyTorch beside its import here: the same weights and work, timed in turns.

    python -m repose_jax.experiments.bench.pidm_speed CHECKOUT [--channels 128] [--size 256]
        [--steps 50] [--few 5] [--repeats 5] [--only forward step training picture]

CHECKOUT is a clone of PIDM's repository (`models` and `diffusion.py` are used); needs torch. One
picture at a time, in float32, on the processors that the process may use, in memory that the
process keeps once it has it, as `repose train` does. What is measured:

  forward    source encoder and one conditional evaluation
  encoding   of the source and of the null source, once a picture
  step       of DDIM with guidance 2: the two evaluations, the source encoded already
  training   one pair: loss with learned variance, gradient clipped to 1, Adam, average
  picture    `--steps` steps of guided DDIM from noise, by PIDM's own `ddim_steps`
  few        the same by PIDM's code beside `--few` evaluations of UniPC on the trailing grid here

Everything is run once before it counts, but for a picture, whose program is compiled without running
it. Then all is run `--repeats` times, one after another, theirs beside ours. A row of the Markdown
table for each: the median and quartiles of either, seconds on the clock; the ratio ours / theirs of
each turn, median and quartiles; and the ratio of the medians of processor time, which other programs
on the same core disturb less.
"""

from __future__ import annotations

import argparse
import functools
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from repose_jax.common.memory import keep_memory
from repose_jax.diffusion.guidance import two_branch
from repose_jax.diffusion.samplers import DDIM, Segment, sample
from repose_jax.diffusion.solvers import UniPC
from repose_jax.diffusion.time_grid import time_grid
from repose_jax.experiments.bench.cost import Spent, interleaved, quartiles, seconds
from repose_jax.experiments.bench.pidm_checkout import (
    Inputs, imported, pidm_network, random_inputs, torched)
from repose_jax.models.model_config import ObjectiveConfig
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.pose.pidm_maps import pidm_maps
from repose_jax.training.state import OptimizerConfig, create_state, make_optimizer
from repose_jax.training.step import make_train_step

WEIGHT, TIME = 2.0, 700
PARTS = ("forward", "encoding", "step", "training", "picture", "few")

Run = Callable[[], Any]


class Theirs:
    """What PIDM's code does, as functions without arguments."""

    def __init__(self, checkout: pathlib.Path, network, inputs: Inputs, steps: int):
        import torch

        sys.path.insert(0, str(checkout))
        import diffusion

        self._torch, self._code, self.network = torch, diffusion, network
        self._steps = range(0, 1000, 1000 // steps)
        betas = diffusion.make_beta_schedule("linear", 1000)
        self._betas = betas.float()
        self._process = diffusion.create_gaussian_diffusion(betas, predict_xstart=False)
        self._source, self._noise = torched(inputs.source), torched(inputs.noise)
        self._maps = torched(pidm_maps(inputs.pose, inputs.source.shape[1:3]))
        self._time = torch.tensor([TIME])

    def _quietly(self, run: Run) -> Run:
        def done():
            with self._torch.no_grad():
                return run()

        return done

    def forward(self) -> Run:
        both = self._torch.cat([self._noise, self._maps], 1)
        return self._quietly(
            lambda: self.network(both, self._time, x_cond=self._source, prob=1))

    def encoding(self) -> Run:
        null = self._torch.zeros_like(self._source)
        return self._quietly(lambda: [self.network.encode(x) for x in (self._source, null)])

    def step(self) -> Run:
        encoded = [each["cond"] for each in self.encoding()()]
        both = self._torch.cat([self._noise, self._maps], 1)
        return self._quietly(
            lambda: self.network.forward_with_cond_scale(both, self._time, encoded, WEIGHT))

    def picture(self) -> Run:
        return self._quietly(lambda: self._code.ddim_steps(
            self._noise, self._steps, self.network, self._betas, [self._source, self._maps]))

    few = picture

    def training(self) -> Run:
        """What the loop of train.py does with a batch, its copies to a GPU apart.

        Moves the network that the other runs use, too; a copy would be 0.7 GB.
        """
        import copy

        model, average = self.network, copy.deepcopy(self.network)
        optimizer = self._torch.optim.Adam(model.parameters(), lr=2e-5)

        def step():
            model.train()
            loss = self._process.training_losses(
                model, x_start=self._source, t=self._time, cond_input=[self._source, self._maps],
                prob=0.9)["loss"].mean()
            optimizer.zero_grad()
            loss.backward()
            self._torch.nn.utils.clip_grad_norm_(model.parameters(), 1)
            optimizer.step()
            news = dict(model.named_parameters())
            for name, old in average.named_parameters():
                old.data.mul_(0.9999).add_(news[name].data, alpha=1 - 0.9999)
            model.eval()

        return step


class Ours:
    """The same here."""

    def __init__(self, read, inputs: Inputs, steps: int, few: int):
        self._model, self._params = RePoseModel(read.config), jax.device_put(read.params)
        self._inputs, self._steps, self._few = inputs, steps, few
        self._conditions = inputs.source, inputs.pose, inputs.pose

    def forward(self) -> Run:
        run = jax.jit(functools.partial(self._model.network.apply, method="everything"))
        return lambda: run({"params": self._params}, self._inputs.noise, jnp.array([TIME]),
                           *self._conditions, jnp.ones(1))

    def _encode(self, params, source, source_pose, target_pose):
        given = (False, True), (True, True)
        return self._model.network.apply(
            {"params": params}, source, source_pose, target_pose, given, method="conditions")

    def encoding(self) -> Run:
        run = jax.jit(self._encode)
        return lambda: run(self._params, *self._conditions)

    def step(self) -> Run:
        context = self.encoding()()
        run = jax.jit(lambda params, context, y: self._model.network.apply(
            {"params": params}, y.repeat(2, 0), jnp.full(2, TIME), context))
        return lambda: run(self._params, context, self._inputs.noise)

    def _picture(self, sampler, times) -> Run:
        def paint(params, conditions):
            (denoiser,), _ = self._model.guided_denoisers(params, *conditions, two_branch(WEIGHT))
            return sample([Segment(denoiser, times)], self._model.schedule, sampler, self._inputs.keys,
                          self._inputs.noise.shape[1:])[0]

        run = jax.jit(paint).lower(self._params, self._conditions).compile()
        return lambda: run(self._params, self._conditions)

    def picture(self) -> Run:
        return self._picture(DDIM(), np.arange(0, 1000, 1000 // self._steps)[::-1].copy())

    def few(self) -> Run:
        return self._picture(UniPC(), time_grid(self._model.schedule, "trailing", self._few))

    def training(self) -> Run:
        optimizer = make_optimizer(OptimizerConfig(learning_rate=2e-5), 1)
        step = jax.jit(make_train_step(
            functools.partial(self._model.loss, objective=ObjectiveConfig()), optimizer,
            ema_decay=0.9999), donate_argnums=0)
        state, key = create_state(self._params, optimizer), jax.random.key(0)
        picture = np.asarray((self._inputs.source + 1) * 127.5, np.uint8)
        pose = self._inputs.pose
        batch = {"source": picture, "target": picture, "source_pose": pose, "target_pose": pose}

        def run():
            nonlocal state
            state, metrics = step(state, batch, key)
            return metrics

        return run


def row(name: str, theirs: list[Spent], ours: list[Spent]) -> str:
    """A row of the table; see the module."""
    ratios = [b.wall / a.wall for a, b in zip(theirs, ours, strict=True)]
    processor = [float(np.median([one.processor for one in each])) for each in (theirs, ours)]
    return (f"| {name} | {quartiles([one.wall for one in theirs])} "
            f"| {quartiles([one.wall for one in ours])} | {quartiles(ratios)} "
            f"| {processor[0]:.3g} | {processor[1]:.3g} | {processor[1] / processor[0]:.3g} |")


def main() -> None:
    """Measures and prints; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=pathlib.Path)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--few", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    keep_memory()
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    network = pidm_network(options.checkout, options.channels, options.size)
    inputs = random_inputs(options.size)
    ours = Ours(imported(network, options.size), inputs, options.steps, options.few)
    theirs = Theirs(options.checkout, network, inputs, options.steps)

    print(f"{options.channels} channels, {options.size}x{options.size}, "
          f"{torch.get_num_threads()} threads, torch {torch.__version__}, jax {jax.__version__}\n\n"
          "| | PIDM's code, s | here, s | ratio of each turn | processor, s | here | ratio |\n"
          "|---|---|---|---|---|---|---|", flush=True)
    for name in options.only:
        runs = {side: getattr(one, name)() for side, one in (("theirs", theirs), ("ours", ours))}
        if name not in ("picture", "few"):
            for run in runs.values():
                seconds(run, 1)
        spent = interleaved(runs, options.repeats)
        print(row(name, spent["theirs"], spent["ours"]), flush=True)


if __name__ == "__main__":
    main()
