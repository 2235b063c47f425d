"""Deep features reused between steps (DeepCache, Ma et al. 2023), beside fewer evaluations.

    python -m repose_jax.experiments.bench.cached_features MODEL [--pairs 8] [--every 2 4]

MODEL samples from noise and knows rendered people (preset small-people). Of every N evaluations one is
whole; the others take what entered the U-Net's last block from it and run only that block and what
goes into it at the finest level. The U-Net is as it is: what enters the block is kept and put in its
place from outside, and XLA drops the levels whose output nobody reads. A row of the Markdown table for
each: the cost in whole evaluations, by the operations of the compiled programs; and the distance to
the picture of 32 whole evaluations of DDIM (root mean square, [-1, 1] units). The option would pay
where a row lies nearer than the row of fewer whole evaluations at its cost.
"""

from __future__ import annotations

import argparse

import flax.linen as nn
import jax
import jax.numpy as jnp

from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.stream import examples
from repose_jax.evaluation.evaluators.sampled import choose_pairs
from repose_jax.experiments.bench.few_steps import REFERENCE, Painter
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.weights import load_model
from repose_jax.networks.unet import decoder_plan, encoder_plan

WAYS = (("ddim", "uniform"), ("unipc", "trailing"))


class CachingPainter(Painter):
    """A painter whose evaluations are whole every so many times only.

    Attributes:
      every: N; 1 evaluates all of the network each time.
    """

    every = 1

    def __init__(self, loaded, batch):
        super().__init__(loaded, batch)
        config = self.model.config.network.unet
        self._block = f"up_{len(decoder_plan(config)) - 1}"
        self._skipped = encoder_plan(config)[0].channels
        self._whole, self._reused = jax.jit(self._keeping), jax.jit(self._reusing)
        self._count, self._kept = 0, None

    def _last_block(self, change):
        """Lets `change` replace what enters the last block, the skip connection apart."""
        def intercept(following, args, kwargs, context):
            if context.module.path == ("unet", self._block) and context.method_name == "__call__":
                h, skip = jnp.split(args[0], [args[0].shape[-1] - self._skipped], axis=-1)
                args = jnp.concatenate([change(h), skip], axis=-1), *args[1:]
            return following(*args, **kwargs)

        return nn.intercept_methods(intercept)

    def _keeping(self, params, context, y, t):
        entered = []
        with self._last_block(lambda h: entered.append(h) or h):
            x0 = self.predict_x0(params, context, y, t)
        return x0, entered[0]

    def _reusing(self, params, context, y, t, kept):
        with self._last_block(lambda _: kept):
            return self.predict_x0(params, context, y, t)

    def _denoise(self, y, t):
        args = self.params, self.context, y, jnp.int32(t)
        whole = self._count % self.every == 0
        self._count += 1
        if not whole:
            return self._reused(*args, self._kept)
        x0, self._kept = self._whole(*args)
        return x0

    def __call__(self, config: SampleConfig) -> jax.Array:
        self._count = 0
        return super().__call__(config)

    def share(self) -> float:
        """Operations of an evaluation that reuses, over those of a whole one."""
        args = self.params, self.context, self.noise, jnp.int32(0)
        kept = jax.eval_shape(self._whole, *args)[1]
        whole, reused = (function.lower(*inputs).compile().cost_analysis()["flops"]
                         for function, inputs in (
                             (self._whole, args), (self._reused, (*args, kept))))
        return reused / whole


def main() -> None:
    """Measures and prints; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--every", type=int, nargs="+", default=(2, 4))
    parser.add_argument("--steps", type=int, nargs="+", default=(4, 5, 6, 8, 12, 16))
    options = parser.parse_args()
    loaded = load_model(options.model)
    network = loaded.model.config.network
    people = DataConfig(path="people").open(
        "test", skeleton=network.skeleton, size=network.image_size)
    painter = CachingPainter(loaded, examples(people, choose_pairs(people, options.pairs, 0)))
    share = painter.share()
    print(f"an evaluation that reuses: {share:.3f} of the operations\n\n| sampler, times, evaluations "
          "| whole every | cost in whole ones | distance |\n|---|---|---|---|", flush=True)
    reference = painter(SampleConfig(steps=REFERENCE))
    for sampler, times in WAYS:
        for steps in options.steps:
            for every in (1, *options.every):
                if every >= steps:
                    continue
                painter.every = every
                signal = painter(SampleConfig(steps=steps, sampler=sampler, times=times))
                whole = -(-steps // every)
                print(f"| {sampler}, {times}, {steps} | {every} "
                      f"| {whole + share * (steps - whole):.2f} "
                      f"| {float(jnp.sqrt(jnp.mean((signal - reference) ** 2))):.4f} |", flush=True)


if __name__ == "__main__":
    main()
