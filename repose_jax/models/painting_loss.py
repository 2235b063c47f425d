"""What the painter and the alignment learn from (docs/method.md, equations 24 to 26 and 30).

The painted picture against the target: absolute differences of values and of neighbouring values'
differences, the person weighed more. The alignment against the target: the source under the flow of
every iteration at every level, later iterations weighed more (as RAFT does), where the target's
person is; and the flow has to be smooth. The adversarial part asks a discriminator that learns at
the same time (hinge loss, Lim & Ye 2017), with its features as a second measure (feature matching,
Salimans et al. 2016).
"""

from __future__ import annotations

import dataclasses
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from repose_jax.common.fields import added
from repose_jax.common.ranges import Range, Weight, check_fields
from repose_jax.networks.apply import apply
from repose_jax.networks.discriminator import Discriminator
from repose_jax.networks.painter import Painting
from repose_jax.networks.rpa import Alignment
from repose_jax.networks.warp import warp

Pictures = Float[Array, "batch height width 3"]
Terms = dict[str, Float[Array, ""]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaintingObjective:
    """Weights of the painter's losses; 0 leaves a term out.

    Attributes:
      gradient: of the differences of neighbouring pixels, against 1 for the pixels themselves.
      person: how much more a pixel of the person counts than one of the background.
      vacated: the same of a pixel that the source's person has left, for pictures taken in one
        place: there the painter must not keep the source.
      align: of the source under the flows against the target.
      decay: weight of an iteration's flow against that of the next one, in (0, 1].
      smooth: of the flow's differences between neighbouring pixels.
      correspondence: of the flow's distance to the true one, a pixel; only for rendered people.
      adversarial: of the discriminator's opinion.
      match: of the distance of its features.
      perceptual: of the distance of EfficientNet-Lite0's features.
      style: of the distance of their Gram matrices, over the person and over what is around.
      head: how much more a pixel of the head counts than another of the person, in the picture and in
        the alignment.
      close_up: of the distance of EfficientNet-Lite0's features of the head alone, seen from nearer.
      realism: of the opinion that a second discriminator has of the heads, by EfficientNet-Lite0's
        features of them from nearer.
      perceived: share of height and of width that EfficientNet-Lite0 looks at, at a place drawn for
        each pair; its work grows with the square of it.
      keep_place: ask for the target's person in the source's place, for pairs taken in two places;
        those of rendered people, whose true flow is known, are taken in one.
      repaint: of the share of the picture that is neither the aligned source nor its place. What is
        painted anew is smooth, and nearest to the target where the alignment is a pixel off.
      spare_hidden: no such price on heads, nor on what the source hides, as far as the true flow tells:
        what is aligned there is not what the target shows.
    """

    gradient: Weight = 0.5
    person: Weight = 2.0
    vacated: Weight = added(0.0)
    align: Weight = 0.2
    decay: Annotated[float, Range(0, 1, open_low=True)] = 0.8
    smooth: Weight = 0.02
    adversarial: Weight = 0.0
    match: Weight = 0.0
    perceptual: Weight = added(0.0)
    style: Weight = added(0.0)
    keep_place: bool = added(False)
    correspondence: Weight = added(0.0)
    repaint: Weight = added(0.0)
    perceived: Annotated[float, Range(0, 1, open_low=True)] = added(1.0)
    head: Weight = added(0.0)
    close_up: Weight = added(0.0)
    realism: Weight = added(0.0)
    spare_hidden: bool = added(False)

    def __post_init__(self):
        check_fields(self, "objective")

    @property
    def judged(self) -> bool:
        """Whether a discriminator is needed."""
        return bool(self.adversarial or self.match)

    @property
    def perceives(self) -> bool:
        """Whether a network trained on ImageNet is needed."""
        return bool(self.perceptual or self.style or self.looks_at_heads)

    @property
    def looks_at_heads(self) -> bool:
        """Whether that network looks at heads from nearer."""
        return bool(self.close_up or self.realism)


def differences(x: Float[Array, "batch h w c"]) -> tuple[Array, Array]:
    """Differences of neighbours, down and to the right."""
    return x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]


def with_head(
    person: Float[Array, "batch height width 1"], head: Float[Array, "batch height width 1"],
    objective: PaintingObjective,
) -> Float[Array, "batch height width 1"]:
    """What each pixel counts of the person, the head more than the rest: in [0, 1 + `objective.head`].

    Args:
      person: where the person is, in [0, 1].
      head: where the head is, in [0, 1], see `repose_jax.pose.head.head_map`; zeros leave the person.
      objective: the weights.
    """
    return jnp.maximum(person, head) * (1 + objective.head * head)


def pixel_weights(
    person: Float[Array, "batch height width 1"], before: Float[Array, "batch height width 1"],
    objective: PaintingObjective,
) -> Float[Array, "batch height width 1"]:
    """b of equation 24, with a mean of 1 over each picture.

    Args:
      person: where the target's person is, in [0, 1] or more, see `with_head`.
      before: where the source's person is, in [0, 1].
      objective: the weights.
    """
    weight = 1 + objective.person * person
    if objective.vacated:
        weight += objective.vacated * jax.nn.relu(before - jnp.minimum(person, 1.0))
    return weight / weight.mean(axis=(1, 2, 3), keepdims=True)


def picture_terms(
    painted: Pictures, target: Pictures, weight: Float[Array, "batch height width 1"],
    objective: PaintingObjective,
) -> Terms:
    """Equation 24: the painted picture against the target, under `pixel_weights`."""
    terms = {"l1": jnp.mean(weight * jnp.abs(painted - target))}
    if objective.gradient:
        terms["gradient"] = objective.gradient * jnp.asarray(sum(
            jnp.mean(jnp.abs(ours - theirs))
            for ours, theirs in zip(differences(painted), differences(target), strict=True)))
    return terms


def repaint_term(
    painting: Painting, weight: Float[Array, "batch height width 1"], objective: PaintingObjective
) -> Float[Array, ""]:
    """Equation 24': what is painted anew, as a share of the picture under `pixel_weights`."""
    return objective.repaint * jnp.mean(weight * (1 - painting.mask - painting.scene))


def alignment_terms(
    alignment: Alignment, source: Pictures, target: Pictures,
    person: Float[Array, "batch height width 1"], objective: PaintingObjective,
) -> Terms:
    """Equation 25: the source under the flows against the target, and the flow's smoothness."""
    terms = {}
    if objective.align:
        total, weights = _masked_error(alignment.picture, target, person), 1.0
        for step, weight in _weighed(alignment, objective.decay):
            theirs, ours, where = (shrunk(x, step.flow.shape[1:3]) for x in (target, source, person))
            total += weight * _masked_error(warp(ours, step.flow), theirs, where)
            weights += weight
        terms["align"] = objective.align * total / weights
    if objective.smooth:
        size = jnp.array(alignment.flow.shape[2:0:-1], jnp.float32)
        terms["smooth"] = objective.smooth * sum(
            jnp.mean(jnp.abs(part)) for part in differences(alignment.flow * size))
    return terms


def correspondence_term(
    alignment: Alignment, flow: Float[Array, "batch height width 2"],
    seen: Bool[Array, "batch height width"] | Float[Array, "batch height width"],
    objective: PaintingObjective,
) -> Float[Array, ""]:
    """Equation 30: every iteration's flow against the true one, where both pictures show the point.

    Args:
      alignment: its trace and its flow are judged.
      flow: the true one, pixels.
      seen: where it is known, or what a pixel counts there.
      objective: the weight, and the decay of earlier iterations.
    """
    known = seen[..., None].astype(jnp.float32)
    size = jnp.array(flow.shape[2:0:-1], jnp.float32)

    def error(ours, theirs, where):
        return jnp.sum(where * jnp.abs(ours * size - theirs)) / (jnp.sum(where) + 1e-6)

    total, weights = error(alignment.flow, flow, known), 1.0
    for step, weight in _weighed(alignment, objective.decay):
        where = shrunk(known, step.flow.shape[1:3])
        theirs = shrunk(known * flow, step.flow.shape[1:3]) / jnp.maximum(where, 1e-6)
        total += weight * error(step.flow, theirs, where)
        weights += weight
    return objective.correspondence * total / weights


def _weighed(alignment, decay):
    """Every iteration with its weight: 1 for a level's last, less by `decay` for each before."""
    by_level: dict[int, list] = {}
    for step in alignment.trace:
        by_level.setdefault(step.level, []).append(step)
    for steps in by_level.values():
        for number, step in enumerate(steps):
            yield step, decay ** (len(steps) - 1 - number)


def adversarial_terms(
    params: dict, painted: Pictures, target: Pictures, alignment: Alignment,
    maps: Float[Array, "batch h w maps"], objective: PaintingObjective,
) -> Terms:
    """Equation 26: the game of painter and discriminator, both sides in one sum.

    The painter's terms see the discriminator's parameters as constants and the discriminator's
    sees the picture as one, so that one gradient of the sum moves each by its own loss.

    Args:
      params: of the discriminator.
      painted, target: pictures in [-1, 1] units.
      alignment: what the painter was given; only its picture is used, as a constant.
      maps: of the target pose at half the resolution.
      objective: the weights.
    """
    judge, fixed = Discriminator(), jax.lax.stop_gradient
    aligned = fixed(alignment.picture)
    score, features = apply(judge, fixed(params), painted, aligned, maps)
    false, _ = apply(judge, params, fixed(painted), aligned, maps)
    true, real = apply(judge, params, target, aligned, maps)
    match = jnp.asarray(sum(jnp.mean(jnp.abs(ours - fixed(theirs)))
                            for ours, theirs in zip(features, real, strict=True)))
    return {"adversarial": -objective.adversarial * jnp.mean(score),
            "match": objective.match * match,
            "discriminator": jnp.mean(jax.nn.relu(1 + false)) + jnp.mean(jax.nn.relu(1 - true))}


def _masked_error(ours, theirs, where):
    return jnp.sum(where * jnp.abs(ours - theirs)) / (3 * jnp.sum(where) + 1e-6)


def shrunk(
    x: Float[Array, "batch height width c"], cells: tuple[int, ...]
) -> Float[Array, "batch h w c"]:
    """Means over the cells of a coarser grid, (h, w) of them, which divide height and width."""
    batch, height, width, channels = x.shape
    h, w = cells
    return x.reshape(batch, h, height // h, w, width // w, channels).mean(axis=(2, 4))
