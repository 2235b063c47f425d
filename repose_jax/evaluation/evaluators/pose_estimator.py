"""Scores pose estimators on held-out people."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from repose_jax.common.signal import to_signal
from repose_jax.data.config import DataConfig
from repose_jax.evaluation.evaluators.sampled import choose_pairs, in_batches, levels_up_to
from repose_jax.evaluation.metrics.denoising import timestep_at_noise
from repose_jax.evaluation.metrics.pose_accuracy import pck, pose_error
from repose_jax.evaluation.statistics.bootstrap import Bootstrap, Interval
from repose_jax.models.weights import Pretrained, PretrainedModel
from repose_jax.networks.apply import apply
from repose_jax.networks.pose_estimator import EstimatorConfig, PoseEstimator, peak, soft_argmax

@dataclasses.dataclass(frozen=True, eq=False)
class EstimatorScores:
    """How near the annotations an estimator reads.

    Attributes:
      rows: for clean pictures and each noise level and way of guessing: "pictures", "noise",
        and for the read pose (peak) and the guiding one (mean): "pck_5", "pck_10", "error".
      conditions: numbers of pictures and people, the denoiser.
    """

    rows: list[dict]
    conditions: dict

    def to_dict(self) -> dict:
        """All of it, for `write_json`."""
        return dataclasses.asdict(self)

    def markdown(self) -> str:
        """A table; brackets hold the 95 % intervals over people."""
        def text(interval: Interval) -> str:
            return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"

        lines = ["| pictures | noise | within 5 % | within 10 % | error (heights) | error of the "
                 "mean |", "|---" * 6 + "|"]
        for row in self.rows:
            lines.append(f"| {row['pictures']} | {row['noise']:.2f} | {text(row['pck_5'])} | "
                         f"{text(row['pck_10'])} | {text(row['error'])} | "
                         f"{text(row['mean_error'])} |")
        return "\n".join(lines) + "\n"


def score_estimator(
    weights: Pretrained[EstimatorConfig], data: DataConfig, denoiser: PretrainedModel, *,
    count: int = 500, seed: int = 0, batch_size: int = 50,
) -> EstimatorScores:
    """Compares an estimator with the annotations of held-out people's pictures.

    Args:
      weights: of the estimator.
      data: where the pictures come from; its test split is used.
      denoiser: makes the guesses from noised pictures, once knowing source and target pose, as in
        sampling, and once knowing nothing.
      count: pairs, of which the targets are read.
      seed: of pairs, noise and intervals.
      batch_size: pictures at a time.
    """
    estimator, model = PoseEstimator(weights.config), denoiser.model
    size = tuple(weights.config.image_size)
    test = data.open("test", skeleton=weights.config.skeleton,
                     size=weights.config.image_size)
    pairs = choose_pairs(test, count, seed)
    persons = np.asarray(test.persons)[np.asarray(test.pairs[pairs])[:, 1]]
    people = Bootstrap(persons, seed=seed)
    alpha_bars = model.config.schedule.alpha_bars()

    @functools.partial(jax.jit, static_argnames="kind")
    def read(batch, t, keys, kind):
        image, noise = to_signal(batch["target"]), jnp.zeros(len(batch["target"]))
        if kind != "real":
            given = jnp.full(len(image), float(kind == "guessed knowing the pose"))
            image = model.denoised(denoiser.params, batch, t, keys, given, given)
            noise = jnp.sqrt(1 - model.config.schedule.alpha_bar(t))[:, 0, 0, 0]
        heatmaps = apply(estimator, weights.params, image, noise)
        return peak(heatmaps, size).pose, soft_argmax(heatmaps, size).pose

    rows = []
    levels = [("real", 0.0)] + [(kind, noise) for kind in (
        "guessed knowing the pose", "guessed knowing nothing") for noise in levels_up_to(
            denoiser.sample.start)]
    for kind, noise in levels:
        t = timestep_at_noise(alpha_bars, noise) if noise else 0
        read_poses, mean_poses, wanted = [], [], []
        for number, (batch, real) in enumerate(in_batches(test, pairs, batch_size)):
            keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), number), batch_size)
            found, mean = read(batch, np.full(batch_size, t, np.int32), keys, kind)
            read_poses.append(np.asarray(found)[:real])
            mean_poses.append(np.asarray(mean)[:real])
            wanted.append(batch["target_pose"][:real])
        found, mean, true = (np.concatenate(p) for p in (read_poses, mean_poses, wanted))
        rows.append({
            "pictures": kind, "noise": noise,
            "pck_5": people.mean(pck(found, true, size[0], 0.05)),
            "pck_10": people.mean(pck(found, true, size[0], 0.10)),
            "error": people.mean(pose_error(found, true, size[0])),
            "mean_error": people.mean(pose_error(mean, true, size[0]))})
    return EstimatorScores(rows, {
        "pictures": people.pictures, "people": people.people, "seed": seed,
        "denoiser": denoiser.name, "denoiser_sha256": denoiser.sha256})
