"""An evaluation of pictures from its question to its files: `repose evaluate` without a terminal."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from repose_jax.common.errors import UserError
from repose_jax.common.fields import to_dict
from repose_jax.common.picture_manifest import PictureManifest
from repose_jax.common.events import Events, silent
from repose_jax.common.provenance import Seal, details, picture_text, write_png
from repose_jax.data.config import DataConfig
from repose_jax.data.image.names import flattened, generated_name
from repose_jax.data.pairs.source import PairSource
from repose_jax.data.pairs.stream import examples
from repose_jax.evaluation.evaluators.baselines import REAL, baseline_tables
from repose_jax.evaluation.evaluators.pose_files import FoundPoses, beside
from repose_jax.evaluation.evaluators.published_weights import published, reference
from repose_jax.evaluation.evaluators.reid_features import FeatureReader
from repose_jax.evaluation.evaluators.sampled import choose_pairs, denoising, sampled
from repose_jax.evaluation.evaluators.scorer import (
    FolderPictures, Pictures, Scorer, in_memory, with_pair_list)
from repose_jax.evaluation.metrics.denoising import DenoisingTable
from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.protocols.pairs import Protocol, protocol
from repose_jax.evaluation.report.breakdown import Group, breakdown
from repose_jax.evaluation.report.contact_sheet import SheetRow, contact_sheet
from repose_jax.evaluation.report.files import write_report
from repose_jax.evaluation.report.page import Shown, page
from repose_jax.evaluation.report.paired import differences
from repose_jax.evaluation.report.report import Report
from repose_jax.evaluation.report.score_table import ScoreTable
from repose_jax.evaluation.report.table import deciding, markdown, per_picture_csv
from repose_jax.evaluation.statistics.bootstrap import Interval
from repose_jax.models.pose_energy_file import check_judge, load_guide
from repose_jax.models.pose_predictor import PoseReader
from repose_jax.models.sample_overrides import SampleOptions
from repose_jax.models.weights import load_model

BESIDE = "beside"
_BROKEN_DOWN = ("gaussian_ssim", "pose_error", "leakage", "found_first", "found_precision")
# Fifteen passes a pair cost more than its picture does.
_DENOISED = 500
# What instruments take from a protocol, under the same names.
_RULES = ("windows", "sigmas", "range_of_prediction", "mae", "mask_lpips", "feature_size",
          "drop_incomplete")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be evaluated; the fields are those of `repose evaluate`.

    Attributes:
      model, images: exactly one of them: a model, or folders of pictures that anything made.
      data: of the held-out people.
      protocol: name of a protocol, or None.
      pairs: a number, or the file of a list.
      seed: of pairs, noise and intervals.
      baselines: score the trivial baselines and the real targets too.
      judge, identity: networks that read poses and people; None takes the protocol's. "beside" as
        a judge takes the poses in files beside the pictures.
      min_confidence: joints of these files below it are missing; None leaves that to the reader.
      weights: folder of published weights.
      sample: settings of a model's sampler, where they differ from its own.
    """

    data: DataConfig
    model: str | None = None
    images: Sequence[str | os.PathLike[str]] = ()
    protocol: str | None = None
    pairs: str = "500"
    seed: int = 0
    baselines: bool = True
    judge: str | None = None
    min_confidence: float | None = None
    identity: str | None = None
    weights: str | os.PathLike[str] | None = None
    sample: SampleOptions = SampleOptions()


@dataclasses.dataclass(frozen=True, eq=False)
class PictureEvaluation:
    """What was found.

    Attributes:
      reports: what was asked for, then the baselines.
      tables: the scores of each picture that they average.
      differences: of the other tables to the first, see `repose_jax.evaluation.report.paired`.
      groups: the first report for easy and hard pairs.
      denoising: of a model; None for pictures, and where it is absent.
      facts: JSON-able, on what was evaluated and how.
      notes: sentences on the data, on pictures that are squeezed, on a loss that is absent.
      test, pairs: the people, and which of their pairs.
      pictures: of the first report.
      seed: of what is drawn.
    """

    reports: list[Report]
    tables: list[ScoreTable]
    differences: dict[str, dict[str, Interval]]
    groups: list[Group]
    denoising: DenoisingTable | None
    facts: dict
    notes: Sequence[str]
    test: PairSource
    pairs: Int[np.ndarray, "pairs"]
    pictures: Pictures
    seed: int

    @classmethod
    def of(cls, wanted: Wanted, events: Events = silent) -> PictureEvaluation:
        """Evaluates.

        Raises:
          UserError: model, pictures, data, pairs or a network cannot be used, or the judge would
            judge what it guided.
        """
        rules = None if wanted.protocol is None else protocol(wanted.protocol)
        loaded = None if wanted.model is None else load_model(wanted.model)
        test = _open(wanted, rules, loaded, "test")
        if rules is not None:
            _check_layout(rules, test, wanted.data.path)
        # What could be wrong with the rest of the data is found before anything is painted.
        train = None
        if wanted.baselines:
            try:
                train = _open(wanted, rules, loaded, "train")
            except UserError as error:
                raise UserError(error.where, f"{error.what}; the baselines need the training "
                                "pictures", "add them, or give --no-baselines") from None
        if wanted.baselines and wanted.judge == BESIDE:
            raise UserError(BESIDE, "has no poses of the baselines", "give --no-baselines")
        if wanted.pairs.isdecimal():
            pairs = choose_pairs(test, int(wanted.pairs), wanted.seed)
        else:
            test = with_pair_list(test, wanted.pairs)
            pairs = np.arange(len(test.pairs))
        scorer = _scorer(wanted, rules, test, pairs,
                         lambda: train or _open(wanted, rules, loaded, "train"))
        facts: dict[str, Any] = {"data": dataclasses.asdict(wanted.data),
                                 "protocol": None if rules is None else dataclasses.asdict(rules)}
        table, notes = None, list(test.notes)
        if loaded is None:
            made = {_name(folder): FolderPictures.of(folder, test, pairs)
                    for folder in wanted.images}
            if len(made) < len(wanted.images):
                raise UserError("images", "are folders of one name", "give folders of other names")
            facts |= {"images": list(made),
                      "stored_sizes": {name: folder.stored for name, folder in made.items()}}
            notes += [f"{name}: {folder.note}" for name, folder in made.items() if folder.note]
        else:
            sample = wanted.sample.over(loaded.sample)
            sample.check(loaded.model.config)
            guide = load_guide(sample.guidance, loaded.model.config.network)
            if scorer.by.poses is not None:
                check_judge(guide, scorer.by.poses.name, scorer.by.poses.sha256)
            generated, seconds = sampled(loaded, test, pairs, sample, guide, seed=wanted.seed,
                                         events=events)
            made = {loaded.name: in_memory(generated)}
            if sample.steps:
                table = denoising(loaded, test, pairs[:_DENOISED], seed=wanted.seed, events=events)
            if table is None:
                notes.append("denoising loss: absent, as " + (
                    "one person has more than half of the pairs from which wrong conditions are "
                    "dealt" if sample.steps else "with 0 steps nothing is denoised"))
            elif len(pairs) > _DENOISED:
                notes.append(f"denoising loss: that of the first {_DENOISED} pairs")
            facts |= {"model": {"name": loaded.name, "sha256": loaded.sha256,
                                "facts": loaded.facts},
                      "sample": dataclasses.asdict(sample), "seconds_per_picture": seconds}
        tables = [scorer.table(name, pictures) for name, pictures in made.items()]
        if train is not None:
            tables += baseline_tables(scorer, train)
        source, target = scorer.numbers.T
        shown = [n for n in tables[0].values if n.startswith(_BROKEN_DOWN)]
        groups = breakdown(tables[0], scorer.persons, test.poses[source], test.poses[target],
                           test.size[0], shown, wanted.seed)
        reports = [scorer.report(t, ceiling=t.name == REAL) for t in tables]
        return cls(reports, tables,
                   differences(tables, scorer.persons, seed=wanted.seed), groups, table, facts,
                   notes, test, pairs, next(iter(made.values())), wanted.seed)

    def summary(self) -> str:
        """The scores that decide, as Markdown, and how long a picture took."""
        text, seconds = markdown(self.reports, deciding(self.reports)), self.facts.get(
            "seconds_per_picture")
        return text if seconds is None else text + f"{seconds:.3g} seconds a picture.\n"

    def markdown(self) -> str:
        """All scores, and of a model its denoising loss, as Markdown."""
        text = markdown(self.reports)
        if self.denoising is not None:
            text += ("\nDenoising loss (mean squared error of x0):\n\n"
                     + self.denoising.markdown())
        return text

    def rows(self, positions: Int[np.ndarray, "n"]) -> list[SheetRow]:
        """Pictures of some positions of the list of pairs, to be looked at."""
        batch = examples(self.test, self.pairs[positions])
        return list(map(SheetRow, batch["source"], batch["target_pose"],
                        self.pictures(positions), batch["target"]))

    def write(self, path: pathlib.Path, command: str) -> None:
        """Writes the report.

        Args:
          path: of the JSON; .md, .tex, .html and -pictures.csv lie beside it.
          command: that led to it.

        Raises:
          UserError: where a file cannot be written.
        """
        names = self.test.names
        pairs = [(names[a], names[b]) for a, b in np.asarray(self.test.pairs[self.pairs])]
        persons = [self.test.persons[a] for a, _ in np.asarray(self.test.pairs[self.pairs])]
        sheets = ("pose_error", "found_precision", *(
            name for name in self.tables[0].values if name.startswith("gaussian_ssim")))
        whole = page(f"{self.reports[0].name} on held-out people", command, self.reports,
                     self.tables[0], self.differences, self.groups,
                     Shown(self.rows, self.test.skeleton, seed=self.seed), sheets)
        write_report(path, self.facts | {
            "command": command, "differences": self.differences,
            "groups": [dataclasses.asdict(group) for group in self.groups],
            "denoising": None if self.denoising is None else self.denoising.to_dict()},
            self.reports, self.markdown(), whole,
            {"-pictures.csv": per_picture_csv(self.tables, pairs, persons)})

    def save(self, folder: pathlib.Path, seal: Seal | None = None) -> None:
        """Writes the pictures of a model under the names that `images` reads, and a list of them.

        Args:
          folder: for them.
          seal: signs them.

        Raises:
          UserError: a picture cannot be written.
        """
        names, facts = self.test.names, self.facts["model"]
        text = picture_text(model=facts["name"], model_sha256=facts["sha256"], source_sha256="",
                            seed=self.seed, settings=to_dict(self.facts["sample"]), guide={})
        listed = PictureManifest(folder)
        for position, (source, target) in enumerate(np.asarray(self.test.pairs[self.pairs])):
            path = folder / f"{generated_name(names[source], names[target])}.png"
            write_png(path, self.pictures(np.array([position]))[0], text, seal)
            listed.add(path, {"source": names[source], "target": names[target]} | details(text))

    def write_sheet(self, path: pathlib.Path, count: int) -> None:
        """Writes a contact sheet of random pairs, not chosen, as PNG."""
        some = np.random.default_rng(self.seed).choice(
            len(self.pairs), min(count, len(self.pairs)), replace=False)
        contact_sheet(self.rows(some), self.test.skeleton, path)


def _name(folder: str | os.PathLike[str]) -> str:
    return pathlib.Path(folder).resolve().name


def _open(wanted: Wanted, rules: Protocol | None, loaded, split: str) -> PairSource:
    """The data in the size and skeleton of the protocol or the model."""
    data, skeleton, size = wanted.data, None, None
    if loaded is not None:
        skeleton, size = loaded.model.config.network.skeleton, tuple(
            loaded.model.config.network.image_size)
    if rules is not None:
        if loaded is not None and size is not None and size != rules.size:
            raise UserError(loaded.name, f"makes pictures of {size[0]}x{size[1]}, {rules.name} "
                            f"is of {rules.size[0]}x{rules.size[1]}", "score a folder of pictures")
        size = rules.size
    if split == "test" and data.hold_out:
        return data.held_out(skeleton=skeleton, size=size)
    return data.open(split, skeleton=skeleton, size=size)


def _check_layout(rules: Protocol, test: PairSource, where: str) -> None:
    """Refuses a protocol's name for another benchmark's pictures."""
    fashion = flattened(test.names[0]).startswith(("fashion", "fasion"))
    if fashion != (rules.data == "deepfashion"):
        raise UserError(where, f"is not in the layout of {rules.data}, which {rules.name} is for",
                        "choose the protocol of this data")


def _scorer(
    wanted: Wanted, rules: Protocol | None, test: PairSource, pairs: np.ndarray,
    train: Callable[[], PairSource],
) -> Scorer:
    """What scores the pictures, with every network that is at hand."""
    found, options = published(rules, wanted.weights), {}
    absent = list(found.absent)
    if rules is not None:
        options = {name: getattr(rules, name) for name in _RULES}
        if len(pairs) != rules.pairs:
            absent.append(f"{len(pairs)} pairs; papers report on {rules.pairs}")
    if test.cameras is None:
        absent.append("cameras: not known, so that only source and target are left out of the "
                      "gallery of identity")
    if found.networks:
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME")
                             or pathlib.Path.home() / ".cache") / "repose_jax" / "statistics"
        options["references"] = {
            network.name: reference(network, train(), options.get("feature_size"), cache,
                                    options.get("drop_incomplete", 0))
            for network in found.networks}
    poses, identities = _judges(wanted, rules, test)
    return Scorer(test, pairs, Instruments(
        size=test.size, poses=poses, identities=identities, lpips=found.lpips,
        networks=found.networks, seed=wanted.seed, **options), absent)


def _judges(
    wanted: Wanted, rules: Protocol | None, test: PairSource
) -> tuple[PoseReader | FoundPoses | None, FeatureReader | None]:
    """Who reads poses and people: what was asked for, else the protocol's."""
    judge = wanted.judge or (None if rules is None else rules.judge)
    identity = wanted.identity or (None if rules is None else rules.identity)
    people = FeatureReader.load(identity, test.size) if identity else None
    if judge == BESIDE:
        if not wanted.images:
            raise UserError(BESIDE, "judges folders of pictures", "save them first, with --save")
        return beside(wanted.images, test.skeleton, wanted.min_confidence), people
    if not judge:
        return None, people
    reader = PoseReader.load(judge)
    reads = reader.weights.config
    if reads.skeleton != test.skeleton.name or not reads.enlarged(test.size):
        raise UserError(judge, f"reads {reads.skeleton} at {reads.image_size}, the data has "
                        f"{test.skeleton.name} at {test.size}",
                        "give a judge of the data's size and skeleton")
    return reader, people
