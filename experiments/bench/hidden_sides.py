"""What mirroring brings on the sides of rendered people that the source does not show.

    python -m repose_jax.experiments.bench.hidden_sides MODEL [--pairs 200] [--seed 0]

MODEL's flow begins turned (people-256). Over the points of the target's body that the source hides and
where the flow of docs/method.md, equation 36, differs from that of 5' by more than a pixel: the mean
difference of colour between the source moved by each and the target, of 255, and by how much less it is
with mirroring, with an interval of 95 % over people. No network but the one that tells which way a body
faces has a part in it.
"""

from __future__ import annotations

import argparse
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from repose_jax.common.signal import to_signal
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.stream import examples
from repose_jax.data.people.source import RenderedPeople
from repose_jax.evaluation.evaluators.sampled import choose_pairs
from repose_jax.evaluation.statistics.bootstrap import Bootstrap
from repose_jax.models.pose_transfer import Params, RePoseModel
from repose_jax.models.weights import load_model
from repose_jax.networks.apply import apply
from repose_jax.networks.facing import Facing, angle
from repose_jax.networks.warp import warp
from repose_jax.pose.turned_flow import turned_flow

_BATCH, _LEAST = 10, 50  # points that a pair must have to be counted


@functools.partial(jax.jit, static_argnums=(0, 3))
def moved(
    model: RePoseModel, params: Params, batch: dict[str, Array], symmetric: bool
) -> tuple[Float[Array, "batch h w 2"], Float[Array, "batch h w"]]:
    """The flow in pixels, and the colour difference of what it moves to the target, of 255."""
    source, target = (to_signal(batch[name]) for name in ("source", "target"))
    poses = [batch[f"{name}_pose"] for name in ("source", "target")]
    size = source.shape[1], source.shape[2]
    turns = [angle(apply(Facing(), params["alignment"]["facing"], pose)) for pose in poses]
    flow = turned_flow(*poses, *turns, model.network.skeleton, size, size,
                       own_head=model.config.network.rpa.own_head, symmetric=symmetric)
    return (flow * jnp.array(size[::-1]),
            127.5 * jnp.abs(warp(source, flow) - target).mean(axis=-1))


def main() -> None:
    """Measures and prints; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    loaded = load_model(options.model)
    network = loaded.config.network
    people = DataConfig(
        path="people", scene="person", framing="any", cloth="loose", heads="turning").open(
            "test", skeleton=network.skeleton, size=network.image_size)
    assert isinstance(people, RenderedPeople)
    pairs = choose_pairs(people, options.pairs, options.seed)
    persons, rows = [], []
    for start in range(0, len(pairs), _BATCH):
        some = pairs[start:start + _BATCH]
        batch = examples(people, some)
        given = {name: jnp.asarray(batch[name]) for name in (
            "source", "target", "source_pose", "target_pose")}
        (plain, before), (mirrored, after) = (
            map(np.asarray, moved(loaded.model, loaded.params, given, way)) for way in (False, True))
        differs = np.linalg.norm(plain - mirrored, axis=-1) > 1
        for row, (source, target) in enumerate(people.pairs[some].tolist()):
            true = people.flow(source, target)
            hidden = true.body & ~true.seen
            counted = hidden & differs[row]
            if counted.sum() >= _LEAST:
                persons.append(people.persons[source])
                rows.append([before[row][counted].mean(), after[row][counted].mean(),
                             counted.sum() / hidden.sum(), counted.sum() / true.body.sum()])
    table = np.array(rows)
    bootstrap = Bootstrap(persons)
    print(f"{len(rows)} of {len(pairs)} pairs have such points, {table[:, 2].mean():.0%} of what is "
          f"hidden, {table[:, 3].mean():.0%} of the body\n\n| colour | of 255 |\n|---|---|")
    for name, values in (("shining through", table[:, 0]), ("mirrored", table[:, 1]),
                         ("less", table[:, 1] - table[:, 0])):
        mean = bootstrap.mean(values)
        print(f"| {name} | {mean.value:.1f} [{mean.low:.1f}, {mean.high:.1f}] |")


if __name__ == "__main__":
    main()
