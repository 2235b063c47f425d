"""What a pose interaction field knows of held-out people's poses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import jax
import numpy as np
import scipy.stats
from jaxtyping import Float

from repose_jax.evaluation.metrics.auroc import auroc
from repose_jax.evaluation.statistics.bootstrap import Bootstrap, Interval
from repose_jax.networks.apply import apply
from repose_jax.networks.pif import PoseField, project
from repose_jax.pose.corruptions import CORRUPTIONS, KAPPAS, von_mises
from repose_jax.pose.neighbours import nearest_poses
from repose_jax.pose.skeleton import Skeleton

PROJECTION_STEPS = 20
_RESAMPLES = 500

Bones = Callable[[Float[np.ndarray, "n joints 3"]], tuple[np.ndarray, np.ndarray]]
"""Poses to unit vectors and visibilities of their bones."""


@dataclasses.dataclass(frozen=True, eq=False)
class FieldScores:
    """What was measured.

    Attributes:
      real: "field" and "neighbours": mean of f and of the true distance, on real poses.
      corruptions: for each: "auroc" against the real poses, "field", "neighbours", and "spearman"
        of f with the true distance.
      spearman: the same over real and corrupted poses together.
      projection: for each kappa: true distance "before" and "after" following the gradient, and
        "relative", the change.
      illegal: "auroc" of legal against illegal joint angles, "field" of both; None without.
      conditions: numbers of poses and people, seeds.
    """

    real: dict[str, Interval]
    corruptions: dict[str, dict[str, Interval]]
    spearman: Interval
    projection: dict[str, dict[str, Interval]]
    illegal: dict[str, Interval] | None
    conditions: dict

    def to_dict(self) -> dict:
        """All of it, for `write_json`."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def markdown(self) -> str:
        """Tables; brackets hold the confidence intervals."""
        def text(interval: Interval, digits: int = 3) -> str:
            value, low, high = (f"{x:.{digits}f}" for x in interval)
            return f"{value} [{low}, {high}]"

        lines = ["| poses | AUROC against real | f | true distance | Spearman |", "|---" * 5 + "|",
                 f"| real | | {text(self.real['field'])} | {text(self.real['neighbours'])} | "
                 f"{text(self.real['spearman'])} |"]
        for name, row in self.corruptions.items():
            lines.append(f"| {name} | {text(row['auroc'])} | {text(row['field'])} | "
                         f"{text(row['neighbours'])} | {text(row['spearman'])} |")
        lines += ["", f"Spearman correlation of f with the true distance over all of them: "
                  f"{text(self.spearman)}.", "",
                  f"| following the gradient, {PROJECTION_STEPS} steps | before | after | change |",
                  "|---" * 4 + "|"]
        for name, row in self.projection.items():
            lines.append(f"| {name} | {text(row['before'])} | {text(row['after'])} | "
                         f"{text(row['relative'])} |")
        if self.illegal is not None:
            lines += ["", f"Legal against illegal joint angles: AUROC {text(self.illegal['auroc'])}"
                      f", f {text(self.illegal['legal'])} and {text(self.illegal['illegal'])}."]
        return "\n".join(lines) + "\n"


def _auroc_of(real: np.ndarray, corrupt: np.ndarray) -> Callable[[np.ndarray], float]:
    """The AUROC as a function of how often each person counts."""
    return lambda counts: auroc(real, corrupt, counts, counts)


def evaluate_field(
    field: PoseField,
    params: Mapping,
    poses: Float[np.ndarray, "n joints 3"],
    persons: np.ndarray,
    valid: Float[np.ndarray, "m joints 3"],
    skeleton: Skeleton,
    bones: Bones,
    *,
    illegal: tuple[Float[np.ndarray, "k joints 3"], Float[np.ndarray, "k joints 3"]] | None = None,
    seed: int = 0,
) -> FieldScores:
    """Measures a field on poses of people it was never trained on.

    Args:
      field, params: the network.
      poses: held-out real poses, pixels.
      persons: whose each is, [n].
      valid: the training poses with their mirror images: what the true distance is measured to.
      skeleton: of the poses.
      bones: see `Bones`.
      illegal: legal poses, and the same people and views with joints bent too far.
      seed: of corruptions and intervals.
    """
    rng = np.random.default_rng(seed)
    reference = bones(valid)
    distance = jax.jit(lambda unit, visible: apply(field, params, unit, visible).distance)

    def judge(unit, visible):
        return np.asarray(distance(unit, visible), np.float64)

    def truth(unit, visible):
        return nearest_poses(unit, visible, *reference).distance.astype(np.float64)

    shown = bones(poses)
    f_real, d_real = judge(*shown), truth(*shown)
    # A pose that shows too little to be compared with five others has no true distance.
    known = np.isfinite(d_real)
    poses, persons, f_real, d_real = poses[known], persons[known], f_real[known], d_real[known]
    people = Bootstrap(persons, seed=seed)

    def spearman(f, d):
        def statistic(counts):
            return scipy.stats.spearmanr(np.repeat(f, counts), np.repeat(d, counts)).statistic
        return people.of(statistic, _RESAMPLES)

    real = {"field": people.mean(f_real), "neighbours": people.mean(d_real),
            "spearman": spearman(f_real, d_real)}
    rows, everything, projection = {}, [(f_real, d_real)], {}
    for name, corrupt in CORRUPTIONS.items():
        unit, visible = bones(corrupt(poses, skeleton, rng))
        f, d = judge(unit, visible), truth(unit, visible)
        rows[name] = {
            "auroc": people.of(_auroc_of(f_real, f), _RESAMPLES),
            "field": people.mean(f), "neighbours": people.mean(d), "spearman": spearman(f, d)}
        everything.append((f, d))
    for kappa in KAPPAS:
        unit, visible = bones(von_mises(poses, skeleton, rng, kappa))
        moved = jax.jit(lambda unit, visible: project(
            lambda u: apply(field, params, u, visible).distance, unit,
            PROJECTION_STEPS))(unit, visible)
        before, after = truth(unit, visible), truth(np.asarray(moved), visible)
        projection[f"von Mises {kappa:g}"] = {
            "before": people.mean(before), "after": people.mean(after),
            "relative": people.relative(after, before)}
    f_all, d_all = (np.concatenate(parts) for parts in zip(*everything))
    times = len(everything)

    def overall(counts):
        n = np.tile(counts, times)
        return scipy.stats.spearmanr(np.repeat(f_all, n), np.repeat(d_all, n)).statistic

    return FieldScores(
        real, rows, people.of(overall, 100), projection,
        None if illegal is None else _illegal(judge, bones, *illegal, seed=seed),
        {"poses": people.pictures, "people": people.people, "references": len(valid),
         "seed": seed, "left_out": int((~known).sum())})


def _illegal(judge, bones, legal, bent, *, seed):
    f_legal, f_bent = judge(*bones(legal)), judge(*bones(bent))
    each = Bootstrap(np.arange(len(f_legal)), seed=seed)
    return {"auroc": each.of(lambda n: auroc(f_legal, f_bent, n, n), _RESAMPLES),
            "legal": each.mean(f_legal), "illegal": each.mean(f_bent)}
