"""An acceptance check: does a model do what a user needs on the user's own pictures?

Every picture is repainted in some poses, and each result is judged without a true photo of it: does
it stand in the pose, is it the same person, has the garment its colour and its detail? The limits
are the user's; what the defaults let pass is measured in docs/evaluation.md.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from repose_jax.common.errors import UserError
from repose_jax.common.events import Events, silent
from repose_jax.common.provenance import file_hash
from repose_jax.data.image.files import is_picture
from repose_jax.data.image.resize import letterbox
from repose_jax.evaluation.evaluators.reid_features import FeatureReader
from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.metric import scores
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.report.score_table import score
from repose_jax.inference.picture_facts import picture_facts
from repose_jax.inference.pipeline import PoseTransfer, Prepared
from repose_jax.models.pose_energy_file import check_judge
from repose_jax.models.pose_predictor import PoseReader
from repose_jax.models.weights import bundled, kind_of
from repose_jax.pose.formats import NamedPose, pose_beside
from repose_jax.pose.skeleton import SKELETONS
from repose_jax.studies.acceptance_limits import Thresholds, failures
from repose_jax.studies.acceptance_results import Acceptance, Result

_BATCH = 8


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


@dataclasses.dataclass(frozen=True, eq=False)
class Judges:
    """Who judges.

    Attributes:
      poses: reads the poses of the results; another estimator than guides.
      identities: reads people; None leaves identity out.
    """

    poses: PoseReader
    identities: FeatureReader | None

    @classmethod
    def load(cls, transfer: PoseTransfer, judge: str, identity: str) -> Judges:
        """The judges of a model's pictures.

        Args:
          transfer: the model.
          judge: pose estimator; "" takes the first bundled one that suits the model.
          identity: re-identification network; "" leaves identity out.

        Raises:
          UserError: one is for other pictures or guides, or none is bundled that suits the model.
        """
        if judge:
            poses = PoseReader.load(judge)
            _check_suits(transfer, poses)
        else:
            poses = _suiting(transfer)
        return cls(poses, FeatureReader.load(identity, transfer.size) if identity else None)


def _suiting(transfer: PoseTransfer) -> PoseReader:
    # Those that have no part in training or guiding come first.
    names = sorted(bundled(), key=lambda name: not name.startswith("judge-"))
    for name in names:
        # What reads the photos has learnt on from what guides.
        if kind_of(name) == "estimator" and not name.startswith("reader-"):
            poses = PoseReader.load(name)
            try:
                _check_suits(transfer, poses)
            except UserError:
                continue
            return poses
    raise UserError("judge", f"is missing: no bundled one suits {transfer.loaded.name}",
                    "give a pose estimator of the model's size and skeleton as --judge")


def _check_suits(transfer: PoseTransfer, poses: PoseReader) -> None:
    """Refuses a judge of other pictures, or that had a part in making these."""
    sample = transfer.sample
    first, end = sample.guidance.guided(sample.steps)
    # A picture of no steps is not guided, whatever the settings name.
    check_judge(transfer.guide(sample) if end > first else None, poses.name, poses.sha256)
    if tuple(poses.weights.config.image_size) != tuple(transfer.size) or (
            poses.weights.config.skeleton != transfer.skeleton.name):
        raise UserError(poses.name, "is for other pictures than the model's",
                        "give a judge of the model's size and skeleton")


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """A result that is asked for.

    Attributes:
      source, pose: names.
      prepared: what it is painted from.
      text: what the picture's file will say.
    """

    source: str
    pose: str
    prepared: Prepared
    text: dict[str, str]


def pairs(photos: int, poses: int, per_photo: int) -> list[tuple[int, int]]:
    """Numbers of photo and pose of each result, poses taken in turn so that all are used.

    Args:
      photos: how many there are.
      poses: how many were given; where it is 0 the second number is that of another photo.
      per_photo: results of each photo, at most.
    """
    each = min(per_photo, poses or photos - 1)
    return [(number, (number * each + k) % poses if poses else (number + 1 + k) % photos)
            for number in range(photos) for k in range(each)]


def accept(
    transfer: PoseTransfer,
    images: Sequence[pathlib.Path],
    targets: Sequence[NamedPose],
    *,
    judges: Judges,
    thresholds: Thresholds = Thresholds(),
    per_image: int = 3,
    seed: int = 0,
    consent: str = "",
    events: Events = silent,
) -> Acceptance:
    """Repaints pictures and judges the results.

    Args:
      transfer: the model.
      images: the user's pictures; poses lie beside them or are estimated.
      targets: poses to paint; empty takes those of the other pictures.
      judges: of the results.
      thresholds: when a result passes.
      per_image: poses for each picture at most, taken in turn so that all are used.
      seed: of the noise.
      consent: a note on the consent of the people, which the pictures carry.
      events: hear of its progress.

    Raises:
      UserError: a judge is not for this model's pictures, or no picture can be used.
    """
    _check_suits(transfer, judges.poses)
    usable, refused = [], {}
    for path in images:
        try:
            mine = transfer.photo_pose(path)
            transfer.prepare(path, mine, mine)
        except UserError as error:
            refused[path.name] = str(error)
            continue
        usable.append((path, mine))
    if not usable:
        raise UserError(images[0].parent, f"holds no usable picture; {next(iter(refused.values()))}",
                        "give pictures of one upright person each")
    wanted = pairs(len(usable), len(targets), per_image)
    if not wanted:
        raise UserError(images[0].parent, "holds one usable picture and no pose was given",
                        "give poses or more pictures")
    lost, asked = len(wanted) // len(usable) * len(refused), []
    for photo, number in wanted:
        path, mine = usable[photo]
        pose, name = (targets[number], targets[number].name) if targets else (
            usable[number][1], usable[number][0].name)
        try:
            asked.append(Asked(path.name, name, transfer.prepare(path, mine, pose),
                               _text(transfer, path, pose, seed, consent)))
        except UserError as error:
            refused[f"{path.name} in the pose of {name}"], lost = str(error), lost + 1
    if not asked:
        raise UserError(images[0].parent, f"gives no result; {next(iter(refused.values()))}",
                        "give other pictures or poses")
    made: list[np.ndarray] = []
    events.progress("painting", 0, len(asked))
    for start in range(0, len(asked), _BATCH):
        part = [each.prepared for each in asked[start:start + _BATCH]]
        filled = part + [part[0]] * (_BATCH - len(part))
        made += map(painted, part, transfer.run(filled, seed))
        events.progress("painting", min(start + _BATCH, len(asked)), len(asked))
    return judged(transfer, asked, np.stack(made), judges, thresholds, refused, lost, seed)


def painted(prepared: Prepared, picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """A picture in the model's frame as whoever gets it sees it: nothing but the photo's part."""
    return letterbox(prepared.cut(picture), None, prepared.source.shape[:2])[0]


def _text(transfer: PoseTransfer, path: pathlib.Path, pose: NamedPose, seed: int,
          consent: str) -> dict[str, str]:
    """What a picture's file says, as that of `repose transfer` does."""
    sample, beside = transfer.sample, pose_beside(path)[0]
    return picture_facts(
        sample, transfer.guide(sample), model=transfer.loaded.name,
        model_sha256=transfer.loaded.sha256, source_sha256=file_hash(path), seed=seed,
        pose=pose, retarget="bones", consent=consent, frame="model",
        source_pose=["estimator", None] if beside is None else [file_hash(beside), None])


def judged(
    transfer: PoseTransfer,
    asked: Sequence[Asked],
    pictures: UInt8[np.ndarray, "n h w 3"],
    judges: Judges,
    thresholds: Thresholds,
    refused: dict[str, str],
    lost: int,
    seed: int,
) -> Acceptance:
    """The verdict on pictures that were painted.

    Args:
      transfer: the model that painted them.
      asked: what was asked for.
      pictures: what came of it.
      judges: of the results.
      thresholds: when a result passes.
      refused, lost: what could not be painted, see `Acceptance`.
      seed: that the pictures were painted with.
    """
    photos, source_poses, target_poses = (
        np.stack([getattr(each.prepared, name) for each in asked])
        for name in ("source", "source_pose", "target_pose"))
    values = judge_all(photos, source_poses, pictures, target_poses, judges.poses, judges.identities)
    results = []
    for i, each in enumerate(asked):
        mine = {name: float(value[i]) for name, value in values.items()}
        results.append(Result(each.source, each.pose, photos[i], pictures[i], target_poses[i], mine,
                              failures(mine, thresholds), each.text))
    return Acceptance(results, thresholds, refused, lost, {
        "model": {"name": transfer.loaded.name, "sha256": transfer.loaded.sha256},
        "judge": {"name": judges.poses.name, "sha256": judges.poses.sha256},
        "identity": None if judges.identities is None else {
            "name": judges.identities.name, "sha256": judges.identities.sha256},
        "sample": dataclasses.asdict(transfer.sample), "seed": seed})
