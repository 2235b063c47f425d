"""Held-out denoising loss, with the right conditions and with another person's.

A model that uses its source must denoise a held-out picture better with that person's photo than
with somebody else's, and likewise for the pose. Every arm sees the same noise, so the difference is
paired; it is reported per noise level, since at little noise no condition is needed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from repose_jax.common.errors import UserError
from repose_jax.evaluation.statistics.bootstrap import Bootstrap, Interval
from repose_jax.evaluation.statistics.derangement import derangement

ARMS = ("right", "wrong_source", "wrong_pose")
_MOVED = {"right": (), "wrong_source": ("source", "source_pose"), "wrong_pose": ("target_pose",)}

DenoiseLoss = Callable[[Mapping[str, np.ndarray], Int[np.ndarray, "batch"], Array],
                       Float[Array, "batch"]]
"""(batch, t int32 [B], typed random keys [B]) -> mean squared error of x0_hat per example [B]."""


def timestep_at_noise(alpha_bars: Float[np.ndarray, "steps"], noise: float) -> int:
    """The time step whose share of noise in the variance, 1 - abar_t, is nearest to `noise`."""
    return int(np.abs(1 - np.asarray(alpha_bars) - noise).argmin())


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DenoisingTable:
    """Losses of every example at every level in every arm.

    Attributes:
      timesteps: [L].
      noise: 1 - abar_t of each, [L].
      losses: arm -> [L, N].
      persons: whose target each example is, [N].
      bootstrap: resamples the people.
    """

    timesteps: Int[np.ndarray, "levels"]
    noise: Float[np.ndarray, "levels"]
    losses: dict[str, Float[np.ndarray, "levels n"]]
    persons: np.ndarray
    bootstrap: Bootstrap

    def rows(self) -> list[dict]:
        """A row a level: timestep, noise, the arms' means and how much worse the wrong ones are.

        The arms and the differences `source_gain` and `pose_gain` (wrong - right: above 0 where
        the right condition helps) are `Interval`s.
        """
        rows = []
        for i, (t, noise) in enumerate(zip(self.timesteps, self.noise)):
            row: dict[str, float | Interval] = {"timestep": int(t), "noise": float(noise)}
            row |= {arm: self.bootstrap.mean(self.losses[arm][i]) for arm in ARMS}
            for name, arm in (("source_gain", "wrong_source"), ("pose_gain", "wrong_pose")):
                row[name] = self.bootstrap.difference(self.losses[arm][i], self.losses["right"][i])
            rows.append(row)
        return rows

    def to_dict(self) -> dict:
        """Rows and conditions, ready for JSON."""
        return {
            "rows": [{k: v._asdict() if isinstance(v, Interval) else v for k, v in row.items()}
                     for row in self.rows()],
            "conditions": {
                "pictures": self.bootstrap.pictures, "people": self.bootstrap.people,
                "resamples": self.bootstrap.resamples, "level": self.bootstrap.level,
                "seed": self.bootstrap.seed, "unit": "mean squared error of x0_hat",
                "noise": "1 - abar_t"}}

    def markdown(self) -> str:
        """A Markdown table; brackets hold the confidence intervals."""
        def text(interval):
            return f"{interval.value:.4f} [{interval.low:.4f}, {interval.high:.4f}]"

        names = (*ARMS, "source_gain", "pose_gain")
        lines = ["| noise | t | " + " | ".join(n.replace("_", " ") for n in names) + " |",
                 "|---" * (2 + len(names)) + "|"]
        for row in self.rows():
            cells = [f"{row['noise']:.3f}", str(row["timestep"]), *(text(row[n]) for n in names)]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"


def denoising_table(
    denoise_loss: DenoiseLoss,
    batches: Iterable[Mapping[str, np.ndarray]],
    timesteps: Sequence[int],
    alpha_bars: Float[np.ndarray, "steps"],
    *,
    seed: int = 0,
    resamples: int = 2000,
) -> DenoisingTable:
    """Measures the loss of each arm at each time step on all the batches.

    Args:
      denoise_loss: see `DenoiseLoss`; noises the target with its keys, one an example.
      batches: training batches with one more array, "person" [B], text or numbers; it is not
        passed on. Of each batch the same examples serve all arms, and a wrong condition comes from
        the same batch, so let them be large.
      timesteps: levels, within the schedule.
      alpha_bars: abar_0 .. abar_{T-1} of the schedule.
      seed: of the noise, of who gets whose condition and of the intervals.
      resamples: of the bootstrap.

    Raises:
      UserError: without batches, or where one person has more than half of a batch.
    """
    alpha_bars = np.asarray(alpha_bars, np.float64)
    timesteps = np.asarray(timesteps, np.int32)
    if len(timesteps) == 0 or timesteps.min() < 0 or timesteps.max() >= len(alpha_bars):
        raise ValueError(f"time steps {timesteps.tolist()} outside of {len(alpha_bars)}")
    keys_of = jax.jit(jax.vmap(jax.vmap(jax.random.fold_in, (0, None)), (None, 0)))
    losses: dict[str, list] = {arm: [] for arm in ARMS}
    persons, done = [], 0
    for number, batch in enumerate(batches):
        person = np.asarray(batch["person"])
        batch = {name: value for name, value in batch.items() if name != "person"}
        size = len(person)
        other = derangement(person, seed=seed + number)
        # By the example's number, so that batch sizes do not change the noise; one key a level.
        indices = np.arange(done, done + size)
        per_example = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), indices)
        keys = keys_of(per_example, timesteps)
        for arm in ARMS:
            given = batch | {name: batch[name][other] for name in _MOVED[arm]}
            losses[arm].append(np.stack([
                np.asarray(denoise_loss(given, np.full(size, t, np.int32), keys[level]))
                for level, t in enumerate(timesteps)]))
        persons.append(person)
        done += size
    if not done:
        raise UserError("pairs", "there are none to evaluate", "give a split with pairs")
    persons = np.concatenate(persons)
    return DenoisingTable(
        timesteps=timesteps, noise=1 - alpha_bars[timesteps], persons=persons,
        losses={arm: np.concatenate(parts, axis=1) for arm, parts in losses.items()},
        bootstrap=Bootstrap(persons, resamples=resamples, seed=seed))
