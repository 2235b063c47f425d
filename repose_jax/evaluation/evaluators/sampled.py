"""What a model does on held-out people: its pictures, its denoising loss, and what it must beat."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator

import jax
import numpy as np
from jaxtyping import Int, UInt8

from repose_jax.common.batching import parts, split
from repose_jax.common.errors import UserError
from repose_jax.common.events import Events, silent
from repose_jax.data.pairs.source import Batch, PairSource
from repose_jax.data.pairs.stream import examples
from repose_jax.evaluation.metrics.denoising import (
    DenoisingTable, denoising_table, timestep_at_noise)
from repose_jax.evaluation.statistics.derangement import can_derange
from repose_jax.models.pose_energy import Guide
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.sampling import generate
from repose_jax.models.weights import PretrainedModel

NOISE_LEVELS = (0.2, 0.5, 0.8, 0.95, 0.99)


def levels_up_to(start: float) -> list[float]:
    """The noise levels that a model meets whose sampling begins at `start`; the lowest at least."""
    return [level for level in NOISE_LEVELS if level <= max(start, NOISE_LEVELS[0])]

def choose_pairs(source: PairSource, count: int, seed: int) -> Int[np.ndarray, "pairs"]:
    """The first pairs of a given list; where the data has no list, random ordered pairs.

    Raises:
      UserError: where the data has fewer.
    """
    if count < 2 or count > len(source.pairs):
        raise UserError("pairs", f"is {count}", f"give 2 to {len(source.pairs)}, the data's number")
    if source.given_pairs is not None:
        return np.arange(count)
    return np.random.default_rng(seed).choice(len(source.pairs), count, replace=False)


def in_batches(source: PairSource, pairs: np.ndarray, size: int) -> Iterator[tuple[Batch, int]]:
    """The pairs in batches, and how many of each count; see `repose_jax.common.batching.parts`."""
    for some, real in parts(len(pairs), size):
        yield examples(source, pairs[some]), real


def sampled(
    loaded: PretrainedModel,
    test: PairSource,
    pairs: Int[np.ndarray, "pairs"],
    sample: SampleConfig,
    guide: Guide | None,
    *,
    seed: int = 0,
    batch_size: int = 25,
    events: Events = silent,
) -> tuple[UInt8[np.ndarray, "pairs h w 3"], float | None]:
    """A model's pictures of some pairs.

    Args:
      loaded: the model.
      test: people in its skeleton and size.
      pairs: which of their pairs.
      sample: settings of the sampler.
      guide: that of `sample`.
      seed: of the noise.
      batch_size: pictures sampled at a time, split over the local devices; the pictures do not
        depend on it.
      events: hear of its progress.

    Returns:
      The pictures, and the wall time of each without compilation; None for a single batch.
    """
    generated: list[np.ndarray] = []
    seconds, timed = 0.0, 0
    keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(seed)))(
        np.arange(len(pairs)))
    events.progress("sampling", 0, len(pairs))
    for some, real in parts(len(pairs), batch_size):
        begun, done = time.perf_counter(), sum(map(len, generated))
        batch = examples(test, pairs[some])
        source, source_pose, target_pose, own = split((
            batch["source"], batch["source_pose"], batch["target_pose"], keys[some]))
        pictures, _ = generate(
            loaded.model, loaded.params, source, source_pose, target_pose, own, sample,
            guide=guide)
        generated.append(np.asarray(pictures)[:real])
        if done:  # the first batch compiles
            seconds, timed = seconds + time.perf_counter() - begun, timed + len(some)
        events.progress("sampling", done + real, len(pairs))
    return np.concatenate(generated), seconds / timed if timed else None


def denoising(
    loaded: PretrainedModel,
    test: PairSource,
    pairs: Int[np.ndarray, "pairs"],
    *,
    seed: int = 0,
    events: Events = silent,
) -> DenoisingTable | None:
    """A model's denoising loss with right and wrong conditions, at noise levels that it samples from.

    None where wrong conditions cannot be dealt: one person has more than half of a batch.
    """
    model = loaded.model
    alpha_bars = model.config.schedule.alpha_bars()
    error = jax.jit(functools.partial(model.picture_error, loaded.params))
    persons = np.asarray(test.persons)[np.asarray(test.pairs[pairs])[:, 0]]
    size = min(100, len(pairs))
    whole = len(pairs) - len(pairs) % size  # wrong conditions are dealt within a batch: no fillers
    if not all(can_derange(persons[start:start + size]) for start in range(0, whole, size)):
        return None

    def labelled():
        for start in range(0, whole, size):
            events.progress("denoising", start, whole)
            yield {**examples(test, pairs[start:start + size]),
                   "person": persons[start:start + size]}
        events.progress("denoising", whole, whole)

    return denoising_table(error, labelled(),
                           [timestep_at_noise(alpha_bars, n)
                            for n in levels_up_to(loaded.sample.start)],
                           alpha_bars, seed=seed)
