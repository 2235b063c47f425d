"""From source, poses and keys to pictures: guidances and sampler put together."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from repose_jax.diffusion.guidance import gradient_guided
from repose_jax.diffusion.prediction import Denoiser
from repose_jax.diffusion.samplers import Segment, Step, sample
from repose_jax.models.conditional_denoiser import ConditionalDenoiser
from repose_jax.models.laid_head import with_own_head
from repose_jax.models.pose_energy import Guide
from repose_jax.models.pose_transfer import Params, RePoseModel
from repose_jax.models.sample_config import SampleConfig, steps_inside
from repose_jax.models.watching import Watch, told, watching
from repose_jax.networks.painter import keeping

AnyArray = Array | np.ndarray


def generate(
    model: ConditionalDenoiser,
    params: Params,
    source: UInt8[AnyArray, "batch h w 3"],
    source_pose: Float[AnyArray, "batch joints 3"],
    target_pose: Float[AnyArray, "batch joints 3"],
    keys: Key[Array, "batch"],
    config: SampleConfig = SampleConfig(),
    trajectory: bool = False,
    guide: Guide | None = None,
    watch: Watch | None = None,
) -> tuple[UInt8[Array, "batch h w 3"], list[Step]]:
    """Paints the people of the sources in the target poses.

    The source is encoded and aligned once; every branch of the classifier-free guidance is
    evaluated in one call; all steps under one guidance are one scan, so that a step without
    gradient guidance does nothing for it.

    Args:
      model: the model, or whatever else is a `ConditionalDenoiser`.
      params: its parameters.
      source: source pictures.
      source_pose, target_pose: pixels of the pictures.
      keys: one a picture; a picture depends on its own key alone, not on its neighbours.
      config: steps, sampler, guidance.
      trajectory: also return every step's prediction, as a signal (see `ConditionalDenoiser`), and
        what the guidance tells of it.
      guide: what reads and judges poses; needed for gradient guidance.
      watch: is told of every step as it is done, and may stop; the pictures are then unfinished. It
        is not told of a picture of 0 steps. Without `trajectory` only.

    Returns:
      (pictures, the trajectory's segments).

    Raises:
      ValueError: for gradient guidance without a guide; for a head (`config.head`) or colours
        (`config.palette`) of the source's own with what is no `RePoseModel`.
    """
    numbers = config.guidance.numbers()
    params, head = kept(params, config), config.head
    if head or config.palette:
        if not isinstance(model, RePoseModel):
            raise ValueError("a head or colours of the source's own need a model with a skeleton")
        model = coloured(model, config)
    config = dataclasses.replace(config, guidance=config.guidance.structure(), keep=0.0, palette=0.0,
                                 head=0.0)
    if not config.guidance.active:
        guide = None
    elif guide is None:
        raise ValueError("gradient guidance needs a guide")
    else:
        # Another file is no other program.
        guide = dataclasses.replace(
            guide if config.guidance.pif else guide.without_field(), files=())
    args = (model, config, trajectory, params, guide, numbers, source, source_pose, target_pose,
            keys)
    if watch is None:
        pictures, steps = _generate(*args, None)
    else:
        with watching(watch) as number:
            pictures, steps = jax.block_until_ready(_generate(*args, number))
    if head:
        assert isinstance(model, RePoseModel)  # others are refused above
        pictures = with_own_head(pictures, source, source_pose, target_pose, head,
                                 skeleton=model.network.skeleton)
    return pictures, steps


def kept(params: Params, config: SampleConfig) -> Params:
    """The parameters of a model whose painter keeps as much of the source as the settings say."""
    if not config.keep:
        return params
    return {**params, "painter": keeping(params["painter"], config.keep)}


def coloured(model: RePoseModel, config: SampleConfig) -> RePoseModel:
    """The model whose painter takes as much of the source's colours as the settings say."""
    if not config.palette:
        return model
    network = model.config.network
    painter = dataclasses.replace(network.painter, palette=config.palette)
    return dataclasses.replace(model, config=dataclasses.replace(
        model.config, network=dataclasses.replace(network, painter=painter)))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _generate(model, config, trajectory, params, guide, numbers, source, source_pose, target_pose,
              keys, watcher):
    signal = model.encode(params, jnp.asarray(source))
    schedule, guidance = model.schedule, config.guidance
    weighted = steps_inside(config.classifier_free_interval, config.steps)
    coefficients, unweighted = config.coefficients(), config.unweighted().coefficients()
    if coefficients == unweighted or weighted[0] == weighted[1]:
        coefficients, weighted = unweighted, (0, config.steps)
    wanted = (coefficients,) if weighted == (0, config.steps) else (coefficients, unweighted)
    denoisers, painted = model.guided_denoisers(
        params, signal, source_pose, target_pose, *wanted)
    inside, outside = denoisers[0], denoisers[-1]
    if not config.steps:
        # Its trajectory is the picture itself, at the time of the clean picture.
        only = Step(jnp.full((1, painted.shape[0]), -1), painted[None], {})
        return model.decode(params, painted), [only] if trajectory else []
    times = config.evaluated(schedule)
    first, end = guidance.guided(config.steps)
    table = guidance.course(times[first:end], schedule.steps)

    def guided(denoiser: Denoiser) -> Denoiser:
        of_picture = guide.energy(target_pose, schedule, pif=numbers["pif"],
                                  target=numbers["target"])
        return gradient_guided(
            denoiser, lambda x0, t: of_picture(model.pictures(params, x0), t), schedule,
            lambda t: numbers["strength"] * jnp.asarray(table)[t],
            through=guidance.through, normalize=guidance.normalize,
            clip=numbers["clip"] if guidance.clip else None)

    segments = []
    cuts = sorted({0, first, end, *weighted, config.steps})
    for begin, stop in itertools.pairwise(cuts):
        denoiser = inside if weighted[0] <= begin < weighted[1] else outside
        segments.append(Segment(guided(denoiser) if first <= begin < end else denoiser,
                                times[begin:stop]))
    watch = None if watcher is None else lambda step, x0: told(
        watcher, step, model.decode(params, x0))
    signals, steps = sample(segments, schedule, config.stepper(), keys, signal.shape[1:],
                            clip=model.bounded, trajectory=trajectory,
                            start=painted if config.start < 1 else None,
                            temperature=config.temperature, watch=watch)
    return model.decode(params, signals), steps
