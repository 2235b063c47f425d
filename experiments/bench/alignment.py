"""How far the alignment's flow is from the truth, iteration by iteration, on rendered people.

    python -m repose_jax.experiments.bench.alignment MODEL [--pairs 200] [--seed 0] [--within head]
        [--heads turning]

MODEL knows rendered people (preset people). The renderer knows where each point of the body is in
both pictures (repose_jax.data.people.correspondence). Over what both show, test people, a row of the
Markdown table for no flow at all, for the skeleton flow, flat and of a body whose turn the renderer
or, where the model's flow begins turned, its own `Facing` tells, without and with heads that turn by
themselves, and with what the picture tells where the model asks it, for each iteration of each level,
coarse to fine, at the picture's resolution, and for the finest flow: the mean distance in pixels to
the true place in the source with an interval of 95 % over people, and the share of pixels less than 2
away. Last, how much nearer the finest flow is than the one it began with. With `--within head` over
the target's heads alone; with `--heads turning` of people whose heads turn aside.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from repose_jax.common.signal import to_signal
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.stream import examples
from repose_jax.data.people.source import RenderedPeople
from repose_jax.evaluation.evaluators.sampled import choose_pairs
from repose_jax.evaluation.statistics.bootstrap import Bootstrap
from repose_jax.models.pose_transfer import Batch, Params, RePoseModel
from repose_jax.models.weights import load_model
from repose_jax.networks.apply import apply
from repose_jax.networks.facing import Facing, angle
from repose_jax.networks.place import shows_person
from repose_jax.networks.warp import resize
from repose_jax.pose.flow import skeleton_flow
from repose_jax.pose.head import head_map
from repose_jax.pose.head_frame import has_head_frame
from repose_jax.pose.layers import Seen
from repose_jax.pose.turned_flow import turned_flow

_NEAR, _BATCH = 2.0, 20
_LAST = "finest, at full resolution"
# What the recurrence begins with, by `RPAConfig.initial` or, where that is turned, by its `own_head`.
_BEGUN = {"zero": "none", "skeleton": "skeleton flow"}
_LAYERED = "turned by the poses and the picture"
_TURNED = {False: "turned by the poses", True: "turned by the poses, heads by themselves"}


def flows(model: RePoseModel, params: Params, batch: Batch,
          turns: Float[np.ndarray, "batch 2"]) -> dict[str, Float[np.ndarray, "batch height width 2"]]:
    """Every flow of an alignment by its name, at the picture's resolution, pixels.

    Args:
      model, params: the model.
      batch: pairs.
      turns: which way source and target truly face, radians.
    """
    poses = batch["source_pose"], batch["target_pose"]
    size = batch["source"].shape[1:3]
    alignment = _align(model, params, model.encode(params, batch["source"]), *poses)
    found = {"none": jnp.zeros_like(alignment.flow),
             "skeleton flow": _skeleton(*poses, model.network.skeleton, size),
             "turned by the truth": _turned(*poses, *turns.T, model.network.skeleton, size)}
    rpa = model.config.network.rpa
    if rpa.initial == "turned":
        facing = functools.partial(apply, Facing(), params["alignment"]["facing"])
        told = [angle(facing(pose)) for pose in poses]
        for own in (False, True) if has_head_frame(model.network.skeleton) else (False,):
            found[_TURNED[own]] = _turned(*poses, *told, model.network.skeleton, size, own)
        if rpa.layers:
            source = to_signal(jnp.asarray(batch["source"]))
            seen = Seen(source, shows_person(source, poses[0], model.network.skeleton))
            found[_LAYERED] = _turned(*poses, *told, model.network.skeleton, size, rpa.own_head,
                                      rpa.symmetric, seen)
    counts: dict[int, int] = {}
    for step in alignment.trace:
        counts[step.level] = number = counts.get(step.level, 0) + 1
        found[f"level {step.level}, iteration {number}"] = resize(step.flow, size)
    found[_LAST] = alignment.flow
    return {name: np.asarray(flow) * np.array(size[::-1]) for name, flow in found.items()}


@functools.partial(jax.jit, static_argnums=0)
def _align(model, params, *given):
    return model.align(params, *given)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _skeleton(source_pose, target_pose, skeleton, size):
    return skeleton_flow(source_pose, target_pose, skeleton, size, size)


@functools.partial(jax.jit, static_argnums=(4, 5, 6, 7))
def _turned(source_pose, target_pose, source_turn, target_turn, skeleton, size, own_head=False,
            symmetric=False, seen=None):
    return turned_flow(source_pose, target_pose, source_turn, target_turn, skeleton, size, size,
                       own_head=own_head, symmetric=symmetric, seen=seen)


def errors(model: RePoseModel, params: Params, people: RenderedPeople,
           pairs: Int[np.ndarray, "pairs"], heads: bool = False,
           ) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Of each pair, the person and by the flow's name the distances to the truth where both show it;
    with `heads` of those points that lie within the target's head."""
    for start in range(0, len(pairs), _BATCH):
        some = pairs[start:start + _BATCH]
        turns = np.array([[people.turn(i) for i in pair] for pair in people.pairs[some].tolist()])
        batch = examples(people, some)
        found = flows(model, params, batch, turns.astype(np.float32))
        within = np.asarray(head_map(jnp.asarray(batch["target_pose"]), model.network.skeleton,
                                     batch["source"].shape[1:3]))[..., 0] > 0.5
        for row, (source, target) in enumerate(people.pairs[some].tolist()):
            true = people.flow(source, target)
            counted = true.seen & within[row] if heads else true.seen
            yield people.persons[source], {
                name: np.linalg.norm(flow[row] - true.flow, axis=-1)[counted]
                for name, flow in found.items()}


def main() -> None:
    """Measures and prints; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--within", choices=("person", "head"), default="person")
    parser.add_argument("--heads", choices=("following", "turning"), default="following")
    options = parser.parse_args()
    loaded = load_model(options.model)
    network = loaded.model.config.network
    people = DataConfig(path="people", scene="person", heads=options.heads).open(
        "test", skeleton=network.skeleton, size=network.image_size)
    assert isinstance(people, RenderedPeople)
    pairs = choose_pairs(people, options.pairs, options.seed)
    every = errors(loaded.model, loaded.params, people, pairs, options.within == "head")
    measured = [(person, row) for person, row in every if len(row["none"])]
    bootstrap = Bootstrap([person for person, _ in measured])
    print(f"{len(measured)} of {len(pairs)} pairs show some point in both pictures\n\n"
          "| flow | pixels from the truth | closer than 2 pixels |\n|---|---|---|")
    for name in measured[0][1]:
        mean = bootstrap.mean(np.array([row[name].mean() for _, row in measured]))
        near = np.mean([(row[name] < _NEAR).mean() for _, row in measured])
        print(f"| {name} | {mean.value:.2f} [{mean.low:.2f}, {mean.high:.2f}] | {near:.3f} |")
    rpa = network.rpa
    turned = _LAYERED if rpa.layers else _TURNED[rpa.own_head]
    begun = turned if rpa.initial == "turned" else _BEGUN[rpa.initial]
    nearer = bootstrap.mean(np.array([row[begun].mean() - row[_LAST].mean() for _, row in measured]))
    print(f"\nthe finest flow is nearer than {begun!r} by {nearer.value:.2f} "
          f"[{nearer.low:.2f}, {nearer.high:.2f}] pixels")


if __name__ == "__main__":
    main()
