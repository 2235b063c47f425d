"""An acceptance check: does a model do what a user needs on the user's own pictures?

Every picture is repainted in some poses, and each result is judged without a true photo of it: does
it stand in the pose, is it the same person, has the garment its colour and its detail? The limits
are the user's; what the defaults let pass is measured in docs/evaluation.md.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import tomllib
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from jaxtyping import Float, UInt8

from repose_jax.common.errors import UserError
from repose_jax.common.fields import from_dict
from repose_jax.common.ranges import Fraction, Range, Weight, check_fields
from repose_jax.data.image.files import is_picture
from repose_jax.evaluation.evaluators.reid_features import FeatureReader
from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.metric import scores
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.report.score_table import score
from repose_jax.inference.pipeline import PoseTransfer
from repose_jax.models.pose_energy_file import check_judge
from repose_jax.models.pose_predictor import PoseReader
from repose_jax.pose.formats import NamedPose
from repose_jax.pose.skeleton import SKELETONS

_BATCH = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Thresholds:
    """When a result passes.

    Attributes:
      pose_error: at most, mean distance of the joints, in picture heights.
      identity: at least, cosine of the person's features in photo and result, from -1 to 1.
      color: at most, difference of the torso's mean colour as people see it (Delta E*ab).
      detail: at least, the torso's detail in the result over that in the photo.
      detail_most: at most; above it there is noise that the garment does not have.
      share: at least, of the results that must pass for the whole to pass, from 0 to 1.
    """

    pose_error: Weight = 0.12
    identity: Annotated[float, Range(-1, 1)] = 0.3
    color: Weight = 40.0
    detail: Weight = 0.3
    detail_most: Weight = 4.5
    share: Fraction = 0.7

    def __post_init__(self):
        check_fields(self)
        if self.detail > self.detail_most:
            raise UserError("detail", f"is {self.detail}, detail_most {self.detail_most}: nothing "
                            "could pass", "give the lower one first")


CHECKS = ("pose_error", "identity", "color", "detail")


def read_thresholds(path: str | os.PathLike[str]) -> Thresholds:
    """Thresholds from a TOML file of their names; what it lacks has its default.

    Raises:
      UserError: the file cannot be read, is no TOML, or has an unknown name, a text for a number or
        one out of its range.
    """
    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "give a TOML file") from None
    except (ValueError, RecursionError) as error:  # also of encoding, or of numbers too long
        raise UserError(path, f"is no TOML ({str(error):.120})",
                        "write lines like pose_error = 0.08") from None
    known = [field.name for field in dataclasses.fields(Thresholds)]
    for name in content:
        if name not in known:
            raise UserError(path, f"has the unknown name {name:.80}", f"use {', '.join(known)}")
    try:
        return from_dict(Thresholds, content, os.fspath(path))
    except UserError as error:
        raise error if error.where.startswith(os.fspath(path)) else UserError(
            path, f"{error.where} {error.what}", error.mend) from None


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """One picture in one pose.

    Attributes:
      source, pose: names.
      photo, picture: what went in and what came out, in the model's size.
      target_pose: in pixels of them.
      values: of the checks and whatever else is measured; NaN where it could not be judged.
      failed: the checks that failed.
    """

    source: str
    pose: str
    photo: UInt8[np.ndarray, "h w 3"]
    picture: UInt8[np.ndarray, "h w 3"]
    target_pose: Float[np.ndarray, "joints 3"]
    values: dict[str, float]
    failed: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether it passed every check that could be made."""
        return not self.failed


@dataclasses.dataclass(frozen=True, eq=False)
class Acceptance:
    """All results.

    Attributes:
      results: in the order of pictures and poses.
      thresholds: that were applied.
      refused: pictures, or pictures in a pose, that could not be used, and why.
      lost: results that there would have been of them, which count as failed.
      facts: JSON-able: model, judges, settings.
    """

    results: list[Result]
    thresholds: Thresholds
    refused: dict[str, str]
    lost: int
    facts: dict[str, Any]

    @property
    def asked(self) -> int:
        """How many results were asked for."""
        return len(self.results) + self.lost

    @property
    def share(self) -> float:
        """Share of the results that were asked for and passed."""
        return sum(r.passed for r in self.results) / self.asked

    @property
    def accepted(self) -> bool:
        """Whether enough of them passed."""
        return self.share >= self.thresholds.share

    def to_dict(self) -> dict:
        """Everything but the pictures, ready for JSON."""
        return {"accepted": self.accepted, "share": self.share,
                "thresholds": dataclasses.asdict(self.thresholds), "refused": self.refused,
                "asked": self.asked,
                "results": [{"source": r.source, "pose": r.pose, "passed": r.passed,
                             "failed": list(r.failed), **r.values} for r in self.results]
                } | self.facts


def pictures_in(folder: str | os.PathLike[str]) -> list[pathlib.Path]:
    """The pictures directly in a folder, sorted; UserError where there is none."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UserError(folder, "is not a folder", "give the folder of your pictures")
    found = sorted(p for p in folder.iterdir() if is_picture(p))
    if not found:
        raise UserError(folder, "holds no picture", "give the folder of your pictures")
    return found


def judge_all(
    photos: UInt8[np.ndarray, "n h w 3"],
    source_poses: Float[np.ndarray, "n joints 3"],
    pictures: UInt8[np.ndarray, "n h w 3"],
    target_poses: Float[np.ndarray, "n joints 3"],
    poses: PoseReader,
    identities: FeatureReader | None,
) -> dict[str, Float[np.ndarray, "n"]]:
    """What every check, and every other metric that needs no target, says of painted pictures.

    Args:
      photos, source_poses: the sources.
      pictures, target_poses: the results, and the poses that they should show.
      poses: reads poses.
      identities: reads people; None leaves that check NaN.
    """
    by = Instruments(size=(photos.shape[1], photos.shape[2]), poses=poses, identities=identities)
    # There is no photo of the person in the target pose: what compares with one is left out.
    batch = PictureBatch(pictures, photos, photos, source_poses, target_poses,
                         SKELETONS[poses.weights.config.skeleton])
    return score("results", [(batch, len(photos))], scores(by, "source")).values


def failures(values: dict[str, float], limits: Thresholds) -> tuple[str, ...]:
    """The checks that values fail; what could not be judged fails nothing."""
    bad = {"pose_error": values["pose_error"] > limits.pose_error,
           "identity": values["identity"] < limits.identity,
           "color": values["color"] > limits.color,
           "detail": not (limits.detail <= values["detail"] <= limits.detail_most)
           and np.isfinite(values["detail"])}
    return tuple(name for name in CHECKS if bad[name])


def accept(
    transfer: PoseTransfer,
    images: Sequence[pathlib.Path],
    targets: Sequence[NamedPose],
    *,
    poses: PoseReader,
    identities: FeatureReader | None,
    thresholds: Thresholds = Thresholds(),
    per_image: int = 3,
    seed: int = 0,
    progress=lambda done, total: None,
) -> Acceptance:
    """Repaints pictures and judges the results.

    Args:
      transfer: the model.
      images: the user's pictures; poses lie beside them or are estimated.
      targets: poses to paint; empty takes those of the other pictures.
      poses: reads the poses of the results; another estimator than guides.
      identities: reads people; None leaves identity out.
      thresholds: when a result passes.
      per_image: poses for each picture at most, taken in turn so that all are used.
      seed: of the noise.
      progress: is told (done, of how many).

    Raises:
      UserError: the judge guides, is for other pictures, or no picture can be used.
    """
    check_judge(transfer.guide(transfer.sample), poses.name, poses.sha256)
    if tuple(poses.weights.config.image_size) != tuple(transfer.size) or (
            poses.weights.config.skeleton != transfer.skeleton.name):
        raise UserError(poses.name, "is for other pictures than the model's",
                        "give a judge of the model's size and skeleton")
    usable, refused = [], {}
    for path in images:
        try:
            mine = transfer.photo_pose(path)
            prepared = transfer.prepare(path, mine, mine)
        except UserError as error:
            refused[path.name] = str(error)
            continue
        usable.append((path, mine, prepared))
    if not usable:
        raise UserError(images[0].parent, f"holds no usable picture; {next(iter(refused.values()))}",
                        "give pictures of one upright person each")
    each = min(per_image, len(targets) or len(usable) - 1)
    if not each:
        raise UserError(images[0].parent, "holds one usable picture and no pose was given",
                        "give poses or more pictures")
    lost, jobs = each * len(refused), []
    for path, mine, pose, name in _wanted(usable, targets, each):
        try:
            jobs.append((path.name, name, transfer.prepare(path, mine, pose)))
        except UserError as error:
            refused[f"{path.name} in the pose of {name}"], lost = str(error), lost + 1
    if not jobs:
        raise UserError(images[0].parent, f"gives no result; {next(iter(refused.values()))}",
                        "give other pictures or poses")
    made = []
    for start in range(0, len(jobs), _BATCH):
        part = [prepared for _, _, prepared in jobs[start:start + _BATCH]]
        filled = part + [part[0]] * (_BATCH - len(part))
        made.append(transfer.run(filled, seed)[:len(part)])
        progress(min(start + _BATCH, len(jobs)), len(jobs))
    pictures = np.concatenate(made)
    photos, source_poses, target_poses = (np.stack([getattr(job[2], name) for job in jobs])
                                          for name in ("source", "source_pose", "target_pose"))
    values = judge_all(photos, source_poses, pictures, target_poses, poses, identities)
    results = []
    for i, (source, pose, prepared) in enumerate(jobs):
        mine = {name: float(value[i]) for name, value in values.items()}
        results.append(Result(source, pose, prepared.source, pictures[i], prepared.target_pose,
                              mine, failures(mine, thresholds)))
    return Acceptance(results, thresholds, refused, lost, {
        "model": {"name": transfer.loaded.name, "sha256": transfer.loaded.sha256},
        "judge": {"name": poses.name, "sha256": poses.sha256},
        "identity": None if identities is None else {
            "name": identities.name, "sha256": identities.sha256},
        "sample": dataclasses.asdict(transfer.sample), "seed": seed})


def _wanted(usable, targets: Sequence[NamedPose], each: int):
    """(picture, its pose, wanted pose, that pose's name) for each result, poses taken in turn."""
    for number, (path, mine, _) in enumerate(usable):
        for k in range(each):
            if targets:
                pose = targets[(number * each + k) % len(targets)]
                yield path, mine, pose, pose.name
            else:
                other, pose, _ = usable[(number + 1 + k) % len(usable)]
                yield path, mine, pose, other.name
