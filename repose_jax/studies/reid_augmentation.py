"""Do generated pictures help to tell people apart? PIDM's downstream experiment.

A share of the real training pictures is kept, with at least one of each person (Bhunia et al. 2023,
section 4.4). A re-identification network learns from them; then it goes on, once with the same
pictures and once with generated ones among them: of each, a random kept picture of a person is the
source and the pose of a random kept picture, of anybody, the target. Going on without generated
pictures is the comparison that PIDM's table lacks: the gain is not that of longer training.

The generator should not know more than the network may: one that learnt from all training pictures,
as the bundled `market1501` did, carries what is withheld into the generated ones, in PIDM's table
too. For a clean comparison give a model that was trained on the share alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Sequence
from typing import Annotated

import jax
import numpy as np
from jaxtyping import Int, UInt8

from repose_jax.common.arrays import read_arrays
from repose_jax.common.errors import UserError
from repose_jax.common.fields import to_dict
from repose_jax.common.files import write_content, write_whole
from repose_jax.common.events import Events, silent
from repose_jax.common.ranges import Range, Seed, check_fields
from repose_jax.data.pairs.source import PairSource
from repose_jax.data.pairs.subset import numbered, share_of
from repose_jax.evaluation.evaluators.reid import ReidScores, search, summary
from repose_jax.evaluation.evaluators.sampled import sampled
from repose_jax.evaluation.report.report import write_json
from repose_jax.evaluation.statistics.bootstrap import Bootstrap, Interval
from repose_jax.models.pose_energy_file import load_guide
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.weights import PretrainedModel, load_model, load_reid
from repose_jax.tasks.fit import fit
from repose_jax.tasks.reid import (
    Pictures, ReidExperiment, ReidTask, real_pictures, with_generated)

ARMS = ("real", "real, longer", "real and generated")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentReid:
    """The experiment.

    Attributes:
      model: of the generated pictures: a bundled name, a file or a run.
      experiment: the network, its data and the course of its first training.
      shares: of the real pictures.
      generated: generated pictures for each real one that is kept.
      longer: share of the first training's images by which it goes on.
      seed: of the kept pictures, the noise and the queries.
      sample: settings of the sampler; None takes the model's own.
    """

    model: str = "market1501"
    experiment: ReidExperiment
    shares: tuple[Annotated[float, Range(0, 1, open_low=True)], ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
    generated: Annotated[float, Range(0, open_low=True)] = 1.0
    longer: Annotated[float, Range(0, open_low=True)] = 0.5
    seed: Seed = 0
    sample: SampleConfig | None = None

    def __post_init__(self):
        check_fields(self)
        if not self.shares:
            raise UserError("shares", "is empty", "give shares above 0, at most 1")


@dataclasses.dataclass(frozen=True)
class Row:
    """One share of the real pictures.

    Attributes:
      share, real, generated: of the pictures, and how many.
      scores: on test people, by arm.
      gain: mean average precision with generated pictures minus that of going on without, paired
        by query.
    """

    share: float
    real: int
    generated: int
    scores: dict[str, ReidScores]
    gain: Interval


def augment_reid(
    wanted: AugmentReid, folder: pathlib.Path, *, events: Events = silent,
) -> list[Row]:
    """Runs the experiment; what is finished is not done again.

    Args:
      wanted: the experiment.
      folder: gets a folder for each share, with its runs and generated pictures.
      events: hear of the progress of each part, and a sentence when a share is finished.

    Raises:
      UserError: model, data or folder cannot be used.
    """
    loaded = load_model(wanted.model)
    network, size = loaded.model.config.network, wanted.experiment.reid.image_size
    if tuple(network.image_size) != tuple(size):
        raise UserError(wanted.model, f"makes pictures of {network.image_size}, the network reads "
                        f"{size}", "use the same size")
    data = wanted.experiment.data
    train, test = (data.open(split, skeleton=network.skeleton, size=tuple(size))
                   for split in ("train", "test"))
    rows = []
    for share in wanted.shares:
        place = folder / f"share-{round(100 * share)}"
        kept = share_of(train, share, wanted.seed)
        real = real_pictures(kept)
        more = with_generated(real, *_generated(wanted, loaded, kept, place, events))
        images = wanted.experiment.train.total_images
        first = _trained(wanted, real, place / "real", images, None, events)
        longer = round(wanted.longer * images)
        files = {ARMS[0]: first,
                 ARMS[1]: _trained(wanted, real, place / "longer", longer, first, events),
                 ARMS[2]: _trained(wanted, more, place / "generated", longer, first, events)}
        found = {arm: search(load_reid(path), test, wanted.seed) for arm, path in files.items()}
        scores = {arm: summary(test, ranking, person, wanted.seed)
                  for arm, (ranking, person) in found.items()}
        (without, person), (with_them, _) = found[ARMS[1]], found[ARMS[2]]
        gain = Bootstrap(person[without.valid], seed=wanted.seed).difference(
            with_them.precision[without.valid], without.precision[without.valid])
        rows.append(Row(share, real.real, more.generated, scores, gain))
        events.tell(f"{share:.0%} of the real pictures: mAP " + ", ".join(
            f"{scores[arm].precision.value:.3f} ({arm})" for arm in ARMS))
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """A table, a row a share; brackets hold the 95 % intervals over people."""
    def text(value: Interval) -> str:
        return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"

    lines = ["| real pictures | generated | " + " | ".join(
        f"{what}: {arm}" for arm in ARMS for what in ("rank-1", "mAP")) + " | gain in mAP |",
        "|---" * (3 + 2 * len(ARMS)) + "|"]
    for row in rows:
        cells = [text(value) for arm in ARMS
                 for value in (row.scores[arm].found[1], row.scores[arm].precision)]
        lines.append(f"| {row.real} ({row.share:.0%}) | {row.generated} | "
                     + " | ".join(cells) + f" | {text(row.gain)} |")
    return "\n".join(lines) + "\n"


def write(rows: Sequence[Row], wanted: AugmentReid, folder: pathlib.Path, command: str) -> None:
    """Writes results.json and table.md; UserError where that is not possible."""
    write_json(folder / "results.json", {
        "command": command, "settings": to_dict(wanted),
        "rows": [dataclasses.asdict(row) for row in rows]})
    write_content(folder / "table.md", markdown(rows))


def _generated(
    wanted: AugmentReid, loaded: PretrainedModel, kept: PairSource, place: pathlib.Path,
    events: Events,
) -> tuple[UInt8[np.ndarray, "n h w 3"], Int[np.ndarray, "n"]]:
    """Generated pictures and whom they show, from a file where they were made before."""
    rng = np.random.default_rng([wanted.seed, 1])
    count = round(wanted.generated * len(kept))
    pairs = rng.choice(len(kept), (count, 2)).astype(np.int32)
    sample = wanted.sample or loaded.sample
    facts = json.dumps([loaded.sha256, to_dict(sample), wanted.seed,
                        [[kept.names[i] for i in pair] for pair in pairs.tolist()]])
    facts = hashlib.sha256(facts.encode()).hexdigest()
    path, person = place / "generated.npz", numbered(kept.persons)[pairs[:, 0]]
    if path.is_file():
        made = read_arrays(path, "delete it, it is made again", ("facts", "pictures"))
        if str(made["facts"]) == facts:
            return made["pictures"], person
    guide = load_guide(sample.guidance, loaded.model.config.network)
    pictures, _ = sampled(loaded, kept.with_pairs(pairs), np.arange(len(pairs)), sample, guide,
                          seed=wanted.seed, events=events)
    write_whole(path, lambda file: np.savez(file, pictures=pictures, facts=facts))
    return pictures, person


def _trained(
    wanted: AugmentReid, pictures: Pictures, place: pathlib.Path, images: int,
    init: pathlib.Path | None, events: Events,
) -> pathlib.Path:
    config = dataclasses.replace(wanted.experiment, train=dataclasses.replace(
        wanted.experiment.train, total_images=images, seed=wanted.seed))
    path = fit(ReidTask(config, init, pictures), place, events=events)
    jax.clear_caches()
    return path
