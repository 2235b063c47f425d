"""An evaluation of pictures generated for Human-Art's poses, as HumanSD's authors have it.

There is no source person and no target picture: a picture is right if the people that a detector
finds in it stand as the annotation says, and good if pictures as a set look like the real ones.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.common.events import Events, silent
from repose_jax.data.human_art.annotations import AnnotatedPicture, annotation_file, load_human_art
from repose_jax.data.human_art.detections import read_detections
from repose_jax.data.human_art.generated import human_art_pictures
from repose_jax.data.human_art.packed import load_humansd, mapping_file
from repose_jax.data.image.files import image_size, read_image
from repose_jax.evaluation.evaluators.published_weights import human_art_networks
from repose_jax.evaluation.metrics.average_precision import Matches, People
from repose_jax.evaluation.metrics.features import FeatureNetwork, features_of
from repose_jax.evaluation.metrics.frechet import frechet_distance
from repose_jax.evaluation.metrics.keypoint_ap import joint_sigmas, oks
from repose_jax.evaluation.metrics.kid import kernel_distance
from repose_jax.evaluation.metrics.pose_cosine import count_errors, pose_cosine
from repose_jax.evaluation.protocols.human_art import HUMAN_ART, HumanArtProtocol
from repose_jax.evaluation.report.files import write_report
from repose_jax.evaluation.report.page import page
from repose_jax.evaluation.report.report import Report, circumstances
from repose_jax.evaluation.report.table import markdown
from repose_jax.evaluation.statistics.bootstrap import Bootstrap, Interval
from repose_jax.evaluation.statistics.gaussian import moments
from repose_jax.pose.detections import Detections
from repose_jax.pose.skeleton import COCO17

_RESAMPLES, _AP_RESAMPLES = 2000, 300  # a curve of precision for each threshold takes its time
_AT_ONCE = 32
_POSE_SCORES = ("ap", "ap_medium", "ar", "cap", "cap_as_scripted")


def placed(picture: AnnotatedPicture, size: tuple[int, int]) -> People:
    """The annotated people in the pixels of a generated picture.

    That is taken to show the annotated picture scaled until it is covered and cut at the centre,
    which is plain scaling where both have the same shape. Joints in what is cut off are not known.

    Args:
      picture: with its people.
      size: (height, width) of the generated picture.
    """
    new, old = (np.array(s[::-1], np.float64) for s in (size, picture.size))
    scale = (new / old).max()
    corner = (new - old * scale) / 2
    poses = np.array(picture.people, np.float64)
    poses[..., :2] = poses[..., :2] * scale + corner
    # Sizes are whole numbers, so that a picture of the same shape may seem cut by a part of one.
    cut = corner < -1
    gone = (cut & ((poses[..., :2] < 0) | (poses[..., :2] >= new))).any(-1)
    poses[..., 2] = np.where(gone, 0, poses[..., 2])
    boxes = np.array(picture.boxes, np.float64) * scale
    boxes[:, :2] += corner
    return People(poses=poses, areas=np.array(picture.areas, np.float64) * scale**2, boxes=boxes)


@dataclasses.dataclass(frozen=True, eq=False)
class HumanArtEvaluation:
    """What was found.

    Attributes:
      report: AP, AP(m), AR, CAP and PCE, with intervals that resample pictures; as far as there are
        weights the Frechet and kernel distance, without.
      scenarios: AP, CAP and PCE of the pictures of each scenario, and how many these are.
      facts: JSON-able, on what was evaluated.
    """

    report: Report
    scenarios: dict[str, dict[str, float]]
    facts: dict[str, Any]

    @classmethod
    def of(
        cls,
        images: str | os.PathLike[str],
        data: str | os.PathLike[str],
        detections: str | os.PathLike[str],
        *,
        weights: str | os.PathLike[str] | None = None,
        seed: int = 0,
        events: Events = silent,
    ) -> HumanArtEvaluation:
        """Evaluates by `HUMAN_ART`.

        Args:
          images: folder of generated pictures, see `human_art_pictures`.
          data: folder of Human-Art, or of HumanSD's packing of it; its validation set is used.
          detections: who was found in the generated pictures, see `read_detections`; every entry
            counts, so leave doubtful ones out.
          weights: folder of Inception's weights.
          seed: of intervals and of the kernel distance.
          events: hear of its progress.

        Raises:
          UserError: a folder or file cannot be used, or they do not belong together.
        """
        packed = annotation_file(data, "test") is None and mapping_file(data, "test")
        annotated = (load_humansd if packed else load_human_art)(data, "test")
        if not annotated:
            raise UserError(data, "has no picture in its validation set", "give Human-Art whole")
        paths = human_art_pictures(images, annotated)
        found = read_detections(detections, [picture.number for picture in annotated])
        people = [placed(picture, image_size(path)) for picture, path in zip(annotated, paths)]
        networks, absent = human_art_networks(HUMAN_ART, weights)
        scores, scenarios = _pose_scores(people, found, [p.scenario for p in annotated], seed)
        distances, left_out = _distances(
            HUMAN_ART, networks, [p.path for p in annotated], paths, seed, events)
        name = pathlib.Path(images).resolve().name
        content = pathlib.Path(detections).read_bytes()
        report = Report(name=name, scores=scores | distances, conditions={
            "pictures": len(people), "people": sum(int(p.visible.any(1).sum()) for p in people),
            "resampled": "pictures", "resamples": _RESAMPLES, "ap_resamples": _AP_RESAMPLES,
            "level": 0.95, "seed": seed, "protocol": HUMAN_ART.name,
            "detections": {"file": pathlib.Path(detections).name,
                           "sha256": hashlib.sha256(content).hexdigest(),
                           "people": sum(len(d.scores) for d in found),
                           "pictures_without": sum(not len(d.scores) for d in found)},
            "left_out": [*absent, *left_out, *HUMAN_ART.absent]} | circumstances())
        return cls(report, scenarios, {
            "images": name, "data": os.fspath(data), "protocol": dataclasses.asdict(HUMAN_ART)})

    def markdown(self) -> str:
        """The scores, then those of each scenario, as Markdown."""
        lines = ["", "| scenario | pictures | AP | CAP | PCE |", "|---|---|---|---|---|"]
        for name, row in self.scenarios.items():
            cells = ["" if np.isnan(row[key]) else f"{row[key]:.3f}"
                     for key in ("ap", "cap", "pce")]
            lines.append(f"| {name or 'not told'} | {row['pictures']} | {' | '.join(cells)} |")
        return markdown([self.report]) + "\n".join(lines) + "\n"

    def write(self, path: pathlib.Path, command: str) -> None:
        """Writes the report.

        Args:
          path: of the JSON; .md, .tex and .html lie beside it.
          command: that led to it.

        Raises:
          UserError: where a file cannot be written.
        """
        write_report(path, self.facts | {"command": command, "scenarios": self.scenarios},
                     [self.report], self.markdown(),
                     page(f"{self.report.name} on Human-Art's poses", command, [self.report]))


def _pose_scores(
    people: list[People], found: list[Detections], scenarios: Sequence[str], seed: int
) -> tuple[dict[str, Interval], dict[str, dict[str, float]]]:
    """What poses tell of the whole set, and of each scenario's pictures."""
    sigmas = joint_sigmas(COCO17)
    by_distance, by_cosine, as_scripted = (Matches(people, found, similarity) for similarity in (
        lambda poses, p: oks(poses, p, sigmas),
        lambda poses, p: pose_cosine(poses, p, sigmas),
        lambda poses, p: pose_cosine(poses, p, sigmas, as_scripted=True)))

    def values(counts: np.ndarray) -> tuple[float, ...]:
        scores = by_distance.scores(counts)
        return (scores.ap, scores.ap_medium, scores.ar, by_cosine.scores(counts).ap,
                as_scripted.scores(counts).ap)

    wrong = count_errors(people, found)
    pictures = Bootstrap(np.arange(len(people)), resamples=_RESAMPLES, seed=seed)
    scores = dict(zip(_POSE_SCORES, pictures.of_several(values, _AP_RESAMPLES), strict=True))
    each = {}
    for name in sorted(set(scenarios)):
        here = np.array([other == name for other in scenarios])
        row = dict(zip(_POSE_SCORES, values(here.astype(np.int64)), strict=True))
        each[name] = {"pictures": int(here.sum()), "ap": row["ap"], "cap": row["cap"],
                      "pce": float(wrong[here].mean())}
    return scores | {"pce": pictures.mean(wrong)}, each


def _distances(
    rules: HumanArtProtocol, networks: dict[str, FeatureNetwork], real: list[pathlib.Path],
    generated: list[pathlib.Path], seed: int, events: Events,
) -> tuple[dict[str, Interval], list[str]]:
    """Distances between real and generated pictures as sets, and sentences on what is left out."""
    scores, left_out = {}, []
    enough = len(real) >= rules.kernel_subset_size
    for name, network in networks.items():
        if name == "kid" and not enough:
            left_out.append(f"kid: absent, {len(real)} pictures do not fill subsets of "
                            f"{rules.kernel_subset_size}")
            continue
        if name == "frechet" and len(real) < 2:
            left_out.append("frechet: absent, one picture has no covariance")
            continue
        sets = [features_of(network, _pictures(rules.side, paths, whole, events), _AT_ONCE)
                for paths, whole in ((real, False), (generated, True))]
        if name == "frechet":
            value = frechet_distance(*(moments(s).gaussian(network.name) for s in sets))
        else:
            value = kernel_distance(sets[0], sets[1], subsets=rules.kernel_subsets,
                                    subset_size=rules.kernel_subset_size, seed=seed).mean
        scores[f"{name}_{network.name}"] = Interval(value, float("nan"), float("nan"))
    return scores, left_out


def _pictures(
    side: int, paths: list[pathlib.Path], whole: bool, events: Events
) -> Iterator[UInt8[np.ndarray, "side side 3"]]:
    """Pictures as squares: squeezed whole, or the centre of those whose shorter side fits."""
    stage = "generated pictures" if whole else "real pictures"
    events.progress(stage, 0, len(paths))
    for number, path in enumerate(paths, start=1):
        picture = Image.fromarray(read_image(path))
        if whole:
            yield np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC))
        else:
            short = min(picture.size)
            picture = picture.resize([side * length // short for length in picture.size],
                                     Image.Resampling.BILINEAR)
            left, top = (round((length - side) / 2) for length in picture.size)
            yield np.asarray(picture.crop((left, top, left + side, top + side)))
        events.progress(stage, number, len(paths))
