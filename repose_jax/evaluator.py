"""Scores a model on held-out people: pictures against baselines, and the denoising loss."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import Int, UInt8

from repose_jax.data.pairs import Batch, PairSource
from repose_jax.data.pipeline import examples
from repose_jax.errors import UserError
from repose_jax.evaluation.baselines import mean_image, trivial_baselines
from repose_jax.evaluation.contact_sheet import SheetRow
from repose_jax.evaluation.denoising import DenoisingTable, denoising_table, timestep_at_noise
from repose_jax.evaluation.report import Report, evaluate_pairs
from repose_jax.generate import SampleConfig, generate
from repose_jax.guide_file import load_guide
from repose_jax.model_file import LoadedModel
from repose_jax.pose_reader import PoseReader

NOISE_LEVELS = (0.2, 0.5, 0.8, 0.95, 0.99)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
      reports: the model, then the trivial baselines.
      denoising: the loss at each noise level with right and wrong conditions.
      pairs: which pairs of the data were used.
      generated: the pictures, in that order.
      seconds_per_picture: wall time of sampling without compilation; None for a single batch.
    """

    reports: list[Report]
    denoising: DenoisingTable
    pairs: Int[np.ndarray, "pairs"]
    generated: UInt8[np.ndarray, "pairs h w 3"]
    seconds_per_picture: float | None


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
    """Batches of equal size, the last one filled up with its own first pair, and how many count."""
    for start in range(0, len(pairs), size):
        part = pairs[start:start + size]
        filled = np.concatenate([part, np.full(size - len(part), part[0])])
        yield examples(source, filled), len(part)


def evaluate(
    loaded: LoadedModel,
    test: PairSource,
    train: PairSource | None,
    *,
    count: int = 500,
    seed: int = 0,
    sample: SampleConfig | None = None,
    judge: str | None = None,
    batch_size: int = 25,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Evaluation:
    """Evaluates a model on pairs of people it was never trained on.

    Args:
      loaded: the model.
      test: held-out people in the model's skeleton and size.
      train: the training people, for the mean-image baseline; None leaves the baselines out.
      count: pairs.
      seed: of the pairs (where the data has no list), the noise and the intervals.
      sample: settings of the sampler; None takes the model's own.
      judge: pose estimator that reads the pictures; None leaves the scores of poses out. It must
        not be the one that guides.
      batch_size: pictures sampled at a time; the pictures do not depend on it.
      progress: is told (stage, done, of how many).
    """
    model, params, sample = loaded.model, loaded.params, sample or loaded.sample
    guide = load_guide(sample.guidance, model.config.network)
    reader = None if judge is None else PoseReader.load(judge)
    if guide is not None and reader is not None and (
            guide.sha256["estimator"] == reader.weights.sha256):
        raise UserError(judge, "would judge what it guided", "judge with another estimator")
    pairs = choose_pairs(test, count, seed)
    persons = np.asarray(test.persons)[np.asarray(test.pairs[pairs])[:, 0]]
    everything = examples(test, pairs)

    generated, seconds, timed = [], 0.0, 0
    keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(seed)))(
        np.arange(-(-count // batch_size) * batch_size))
    for batch, real in in_batches(test, pairs, batch_size):
        begun, done = time.perf_counter(), sum(map(len, generated))
        pictures, _ = generate(model, params, batch["source"], batch["source_pose"],
                               batch["target_pose"], keys[done:done + batch_size], sample, False,
                               guide and guide.guide, guide and guide.params)
        generated.append(np.asarray(pictures)[:real])
        if done:  # the first batch compiles
            seconds, timed = seconds + time.perf_counter() - begun, timed + batch_size
        progress("sampling", done + real, count)
    generated = np.concatenate(generated)

    pictures = {loaded.name: generated}
    if train is not None:
        mean = mean_image(train.image(i) for i in range(len(train)))
        pictures |= trivial_baselines(everything["source"], mean)
    reports = [
        evaluate_pairs(images, everything["target"], everything["source"],
                       everything["source_pose"], everything["target_pose"], persons,
                       test.skeleton, name=name, seed=seed,
                       read_poses=None if reader is None else reader.poses)
        for name, images in pictures.items()]

    alpha_bars = model.config.schedule.alpha_bars()
    error = jax.jit(functools.partial(model.picture_error, params))
    size = min(100, count)
    whole = count - count % size  # wrong conditions are dealt within a batch, so no fillers here

    def labelled():
        for start in range(0, whole, size):
            progress("denoising", start + size, whole)
            yield {**examples(test, pairs[start:start + size]),
                   "person": persons[start:start + size]}

    table = denoising_table(error, labelled(),
                            [timestep_at_noise(alpha_bars, n) for n in NOISE_LEVELS],
                            alpha_bars, seed=seed)
    return Evaluation(reports, table, pairs, generated, seconds / timed if timed else None)


def sheet_rows(
    test: PairSource, evaluation: Evaluation, count: int, seed: int
) -> list[SheetRow]:
    """Random pairs of an evaluation, not chosen, for a contact sheet."""
    some = np.random.default_rng(seed).choice(
        len(evaluation.pairs), min(count, len(evaluation.pairs)), replace=False)
    batch = examples(test, evaluation.pairs[some])
    return list(map(SheetRow, batch["source"], batch["target_pose"],
                    evaluation.generated[some], batch["target"]))
