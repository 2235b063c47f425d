"""Ablations: a grid of sampler settings and models, each cell on the same pairs and noise.

A cell's pictures are measured, not kept; its measurements are written as one file under a name that
follows from everything that decides them. A run that is killed goes on with the first cell whose
file is not there.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np

from repose_jax.common.arrays import read_arrays
from repose_jax.common.errors import UserError
from repose_jax.common.events import Events, silent
from repose_jax.common.fields import from_dict, identity, to_dict
from repose_jax.common.files import write_whole
from repose_jax.common.ranges import Positive, Seed, check_fields
from repose_jax.data.config import DataConfig
from repose_jax.data.pairs.stream import examples
from repose_jax.evaluation.evaluators.sampled import choose_pairs, sampled
from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.metric import Score, scores
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.report.score_table import score
from repose_jax.models.pose_energy_file import check_judge, load_guide
from repose_jax.models.pose_predictor import PoseReader
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.weights import Pretrained, load_field, load_model
from repose_jax.networks.pif import FieldConfig, PoseField

Settings = Mapping[str, Any]
"""Field of `SampleConfig` with dots, or "model", to its value."""

# Changed when what a cell measures changes, so that older files are not taken for new ones.
_VERSION = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ablation:
    """What is compared.

    Attributes:
      title: what the question is.
      cells: settings of each cell over those of its model; the first is what the others are
        compared with.
      model: the model of the cells that name none.
      data: where held-out pairs come from.
      judge: pose estimator that reads the results; must not be one that guides.
      field: pose interaction field that judges their poses.
      split: "test", people never trained on; or "train", to choose settings without looking at
        the people they will be scored on.
      pairs: how many.
      seeds: of the noise; every cell is run with each, and their pictures count as more pictures.
      batch_size: pictures sampled together; results do not depend on it.
    """

    title: str
    cells: tuple[Settings, ...]
    model: str
    data: DataConfig
    judge: str
    field: str
    split: Literal["test", "train"] = "test"
    pairs: Positive = 500
    seeds: tuple[Seed, ...] = (0,)
    batch_size: Positive = 25

    def __post_init__(self):
        check_fields(self)


def grid(**axes: Sequence[Any]) -> tuple[Settings, ...]:
    """Every combination of values; a double underscore in a name stands for a dot."""
    names = [name.replace("__", ".") for name in axes]
    return tuple(dict(zip(names, values)) for values in itertools.product(*axes.values()))


def with_settings(config: SampleConfig, settings: Settings) -> SampleConfig:
    """A configuration with some of its fields replaced.

    Raises:
      UserError: for a field that it does not have.
    """
    values = to_dict(config)
    for name, value in settings.items():
        if name == "model":
            continue
        *path, last = name.split(".")
        inner = values
        for part in path:
            inner = inner.get(part) if isinstance(inner, dict) else None
        if not isinstance(inner, dict) or last not in inner:
            raise UserError(name, "is no setting of the sampler", "see repose transfer --help")
        inner[last] = value
    return from_dict(SampleConfig, values)


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """One cell's measurements.

    Attributes:
      settings: over those of its model.
      sample: the whole configuration of the sampler.
      values: what was kept of each picture for every score, by the name that it is kept under.
      seconds: to sample a picture once the program is compiled, on the machine and in the company
        in which it ran; NaN for a single batch.
    """

    settings: Settings
    sample: SampleConfig
    values: dict[str, np.ndarray]
    seconds: float


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """All cells, and what they share.

    Attributes:
      ablation: what was asked.
      cells: in its order.
      scores: what was measured, in the order in which it is shown.
      persons: whose each picture is, [pictures].
      conditions: hashes, versions, devices.
    """

    ablation: Ablation
    cells: list[Cell]
    scores: tuple[Score, ...]
    persons: np.ndarray
    conditions: dict[str, Any]


def run(
    ablation: Ablation, folder: str | os.PathLike[str], *,
    events: Events = silent,
) -> Result:
    """Runs every cell whose measurements are not in the folder yet.

    Args:
      ablation: what to run.
      folder: gets cells/NAME.npz, whole or not at all.
      events: get a sentence for each cell, and hear of its sampling's progress.

    Raises:
      UserError: a model, the data, a setting or the folder cannot be used; found before the first
        cell is run. The judge is one of the guides.
    """
    folder = pathlib.Path(folder)
    models = {name: load_model(name) for name in
              dict.fromkeys(cell.get("model", ablation.model) for cell in ablation.cells)}
    for settings in ablation.cells:  # before the data, which take their time
        loaded = models[settings.get("model", ablation.model)]
        with_settings(loaded.sample, settings).check(loaded.model.config)
    first = models[ablation.cells[0].get("model", ablation.model)]
    network = first.model.config.network
    people = ablation.data.open(
        ablation.split, skeleton=network.skeleton, size=network.image_size)
    judge, field = PoseReader.load(ablation.judge), load_field(ablation.field)
    _check_fit(judge, field, models, network)
    pairs = choose_pairs(people, ablation.pairs, 0)
    samples, guides = [], []
    for settings in ablation.cells:
        loaded = models[settings.get("model", ablation.model)]
        sample = with_settings(loaded.sample, settings)
        guide = load_guide(sample.guidance, loaded.model.config.network)
        check_judge(guide, ablation.judge, judge.sha256)
        samples.append(sample)
        guides.append(guide)

    everything = examples(people, pairs)
    target_names = np.asarray(people.pairs[pairs])
    persons = np.asarray(people.persons)[target_names[:, 0]]
    # No windows of SSIM: their three numbers say little beside the Gaussian one.
    measured = tuple(scores(Instruments(
        size=people.size, poses=judge, field=distance_by(field), windows=())))

    def measure(pictures: np.ndarray) -> dict[str, np.ndarray]:
        batch = PictureBatch(
            pictures, everything["target"], everything["source"], everything["source_pose"],
            everything["target_pose"], people.skeleton, target_names)
        return score("cell", [(batch, len(pictures))], measured).kept

    cells = []
    for number, (settings, sample, guide) in enumerate(zip(ablation.cells, samples, guides)):
        loaded = models[settings.get("model", ablation.model)]
        parts, seconds = [], []
        for seed in ablation.seeds:
            decides = {
                "version": _VERSION, "model": loaded.sha256, "sample": identity(sample),
                "guide": guide.sha256 if guide else None, "judge": judge.weights.sha256,
                "field": field.sha256, "seed": seed, "names": [
                    [people.names[i] for i in pair] for pair in target_names.tolist()]}
            path = folder / "cells" / f"{_digest(decides)}.npz"
            state = "known"
            values = _read(path) if path.exists() else {}
            if not {"seconds", *(one.key for one in measured)} <= set(values):
                # Not there, or from before a metric was added.
                pictures, spent = sampled(loaded, people, pairs, sample, guide, seed=seed,
                                          batch_size=min(ablation.batch_size, len(pairs)),
                                          events=events)
                spent = np.nan if spent is None else spent
                _write(path, measure(pictures) | {"seconds": np.array(spent)})
                state, values = f"{spent:.3f} s a picture", _read(path)
            seconds.append(float(values.pop("seconds")))
            parts.append({one.key: values[one.key] for one in measured})
            events.tell(
                f"cell {number + 1}/{len(ablation.cells)} seed {seed} {dict(settings)}: {state}, "
                f"pose error {np.nanmean(values['pose_error']):.4f}")
        merged = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        cells.append(Cell(settings, sample, merged, float(np.mean(seconds))))
    return Result(
        ablation, cells, measured, np.tile(persons, len(ablation.seeds)), {
            "models": {name: loaded.sha256 for name, loaded in models.items()},
            "judge": judge.weights.sha256, "field": field.sha256, "pairs": len(pairs),
            "jax": jax.__version__, "devices": [str(d) for d in jax.local_devices()]})


def _check_fit(judge, field, models, network):
    for name, loaded in models.items():
        theirs = loaded.model.config.network
        if (theirs.skeleton, theirs.image_size) != (network.skeleton, network.image_size):
            raise UserError(name, "is for other pictures or poses than the first model",
                            "compare models of one size and skeleton")
    for weights in (judge.weights, field):
        if weights.config.skeleton != network.skeleton:
            raise UserError(weights.name, f"is for {weights.config.skeleton}, the model for "
                            f"{network.skeleton}", "name one of the model's skeleton")
    if not judge.weights.config.enlarged(network.image_size):
        raise UserError(judge.weights.name, "is for pictures of another size than the model",
                        "name one of the model's size")


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def _write(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    write_whole(path, lambda file: np.savez_compressed(file, **dict[str, Any](arrays)))


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
    return read_arrays(path, "delete it, and its cell is run again")


def distance_by(field: Pretrained[FieldConfig]) -> Callable[[np.ndarray], jax.Array]:
    """The distance of poses to the valid ones by a pose interaction field."""
    apply = jax.jit(functools.partial(PoseField(field.config).apply, method="of_pose"))
    return lambda pose: apply({"params": field.params}, pose).distance
