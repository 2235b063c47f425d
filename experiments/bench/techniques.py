"""What each technique of fast sampling gains and costs alone, one picture at a time.

    python -m repose_jax.experiments.bench.techniques MODEL [--steps 16] [--repeats 5] [--pairs 4]
        [--only PART_OF_A_NAME ...]

MODEL samples from noise and knows rendered people (preset small-people). The first row is the full way:
`--steps` evaluations of DDIM with the model's classifier-free weight, the source encoded and aligned,
keys and values made once a picture, all branches in one batch, float32. Each other row leaves out or
adds one technique. All are run in turns, after one run that compiles. Columns: multiplications and
additions of a picture, the loop's counted at each turn; seconds on the clock, median and quartiles;
processor seconds, median; their ratio to the full way's in the same turn, median; and
the root mean square to the full way's pictures of `--pairs` test pairs, in [-1, 1] units.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from repose_jax.common.signal import to_signal
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.stream import examples
from repose_jax.diffusion.guidance import classifier_free, stack_branches, two_branch
from repose_jax.diffusion.prediction import Prediction
from repose_jax.diffusion.samplers import Segment, sample
from repose_jax.evaluation.evaluators.sampled import choose_pairs
from repose_jax.experiments.bench.cost import interleaved, quartiles
from repose_jax.experiments.bench.operations import operations
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.models.sample_config import GuidanceConfig, SampleConfig
from repose_jax.models.sampling import generate
from repose_jax.models.weights import load_model
from repose_jax.networks.apply import apply

Paint = Callable[..., jax.Array]
"""(params, source uint8, source pose, target pose, keys) -> pictures uint8."""


def packaged(model: RePoseModel, config: SampleConfig) -> Paint:
    """What the package does."""
    return lambda *inputs: generate(model, *inputs, config)[0]


def slower(model: RePoseModel, config: SampleConfig, what: str) -> Paint:
    """The full way without one of what it does once: "source", "keys" or "batch"."""
    coefficients = two_branch(config.source_weight)

    def paint(params, source, source_pose, target_pose, keys):
        source = to_signal(source)

        def conditions(source, branch):
            return model.condition(params, source, source_pose, target_pose, branch)

        def features(branch):
            # As in Network.condition: the null source is zeros, without a pose.
            has, posed = branch in ("source", "both"), branch in ("pose", "both")
            return apply(model.network, params, method=lambda network: network.align(
                source * has, source_pose * has, target_pose * posed).features)

        contexts = [conditions(source, branch) for branch in coefficients]
        aligned = stack_branches(*map(features, coefficients)) if what == "keys" else None

        def again(value, y):
            """The same, but for the compiler a thing of this step, which it cannot take out of the
            loop."""
            return jax.lax.optimization_barrier((value, y))[0]

        def denoise(y, t):
            if what == "batch":
                each = [model.denoiser(params, context)(y, t) for context in contexts]
                x0, epsilon = (
                    sum(c * getattr(one, name) for c, one in zip(
                        coefficients.values(), each, strict=True)) for name in ("x0", "epsilon"))
                return Prediction(x0, epsilon)
            context = stack_branches(*(
                [conditions(again(source, y), branch) for branch in coefficients]
                if what == "source" else contexts))
            if what == "keys":
                keys_values, injected = apply(
                    model.network, params, again(aligned, y),
                    method=lambda network, features: network.unet.condition(features))
                context = context.replace(keys_values=keys_values, injected=injected)
            return classifier_free(
                model.denoiser(params, context), tuple(coefficients.values()))(y, t)

        signal, _ = sample([Segment(denoise, config.evaluated(model.schedule))], model.schedule,
                           config.stepper(), keys, source.shape[1:])
        return model.decode(params, signal)

    return jax.jit(paint)


def ways(model: RePoseModel, full: SampleConfig) -> dict[str, Paint]:
    """By name; the first is the full way."""
    def changed(**settings):
        return packaged(model, dataclasses.replace(full, **settings))

    unet = dataclasses.replace(model.config.network.unet, bfloat16=True)
    rounded = RePoseModel(dataclasses.replace(model.config, network=dataclasses.replace(
        model.config.network, unet=unet)))
    solver: dict[str, Any] = {"sampler": "unipc", "times": "trailing"}
    return {
        "the full way": packaged(model, full),
        "source encoded and aligned at each step": slower(model, full, "source"),
        "keys, values and injected channels made at each step": slower(model, full, "keys"),
        "each branch by itself": slower(model, full, "batch"),
        **{f"classifier-free guidance in {part} only": changed(classifier_free_interval=part)
           for part in ((0.0, 0.5), (0.25, 0.75), (0.5, 1.0))},
        "no classifier-free guidance": changed(source_weight=1.0),
        **{f"unipc, trailing, {steps} evaluations": changed(steps=steps, **solver)
           for steps in (full.steps // 2, full.steps // 4)},
        "bfloat16 in the U-Net": packaged(rounded, full)}


def main() -> None:
    """Measures and prints; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--only", nargs="+", help="parts of names")
    options = parser.parse_args()
    loaded = load_model(options.model)
    network = loaded.model.config.network
    people = DataConfig(path="people").open(
        "test", skeleton=network.skeleton, size=network.image_size)
    batch = examples(people, choose_pairs(people, options.pairs, 0))
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(np.arange(options.pairs))
    inputs = [(loaded.params, *(batch[name][i:i + 1] for name in (
        "source", "source_pose", "target_pose")), keys[i:i + 1]) for i in range(options.pairs)]

    full = SampleConfig(steps=options.steps, source_weight=loaded.sample.source_weight,
                        guidance=GuidanceConfig())
    every = ways(loaded.model, full)
    first = next(iter(every))
    if options.only:
        every = {name: paint for name, paint in every.items()
                 if name == first or any(part in name for part in options.only)}
    pictures = {name: np.concatenate([paint(*each) for each in inputs])
                for name, paint in every.items()}
    spent = interleaved({name: lambda paint=paint: paint(*inputs[0])
                         for name, paint in every.items()}, options.repeats)
    print("| | operations, GFLOP | seconds | processor, s | of the full way's | difference |\n"
          "|---|---|---|---|---|---|")
    for name, paint in every.items():
        processor = np.array([one.processor for one in spent[name]])
        against = np.array([one.processor for one in spent[first]])
        apart = (pictures[name].astype(float) - pictures[first]) / 127.5
        print(f"| {name} | {operations(paint, *inputs[0]) / 1e9:.2f} "
              f"| {quartiles([one.wall for one in spent[name]])} | {np.median(processor):.3g} "
              f"| {np.median(processor / against):.2f} | {np.sqrt(np.mean(apart**2)):.4f} |")


if __name__ == "__main__":
    main()
