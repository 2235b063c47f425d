"""The acceptance check as the page of `repose app` asks for it.

Pictures are painted one at a time, as the page's others are; what decides which, and whether they
pass, is that of `repose accept`. Nothing is kept between requests but loaded judges.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import threading
from typing import Annotated, Any

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.common.fields import to_dict
from repose_jax.common.json_text import parse_json
from repose_jax.common.provenance import text_of
from repose_jax.common.ranges import Natural, Range
from repose_jax.data.image.files import encode_png, read_image
from repose_jax.data.image.resize import letterbox, window
from repose_jax.evaluation.report.report import jsonable
from repose_jax.inference.app.extension import Extension
from repose_jax.inference.app.requests import File, posed
from repose_jax.inference.app.service import AppService, in_frame
from repose_jax.inference.picture_facts import SINGLE
from repose_jax.inference.pipeline import PoseTransfer
from repose_jax.pose.retarget import Mode
from repose_jax.studies.acceptance import Asked, Judges, judged, pairs
from repose_jax.studies.acceptance_limits import CHECKS, Thresholds
from repose_jax.studies.acceptance_page import drawn_pose, page
from repose_jax.studies.acceptance_results import Acceptance, Result
from repose_jax.studies.acceptance_words import Language, bounds, counted, shown, state, table

MOST = 300
"""Results of a check: their pictures travel in one request."""

_PER_PHOTO = 3
_IDENTITY = "reid-market1501"
_RETARGET: Mode = "bones"

Count = Annotated[int, Range(1, MOST)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairsRequest:
    """Which photo is to be painted in which pose.

    Attributes:
      photos: how many there are whose pose is known.
      poses: how many poses were given; of 0, those of the other photos are taken.
      per_photo: results of each photo, at most.
    """

    photos: Count
    poses: Annotated[int, Range(0, MOST)] = 0
    per_photo: Count = _PER_PHOTO


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaintedPicture:
    """A picture that was painted, and what it was painted from.

    Attributes:
      source, pose: the names of photo and pose.
      photo: the photo as the model saw it, the `source` of the painting's answer.
      picture: the PNG that was painted.
      source_pose, target_pose: as they were asked for.
    """

    source: str
    pose: str
    photo: File
    picture: File
    source_pose: Any
    target_pose: Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unpainted:
    """A photo that could not be used, or a result that could not be painted.

    Attributes:
      name: of it.
      why: one line.
      results: how many there would have been, which count as failed.
    """

    name: str
    why: str
    results: Natural = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class AcceptanceRequest:
    """Judge pictures as `repose accept` does.

    Attributes:
      model: that painted them.
      results: the pictures.
      refused: what there is no picture of.
      limits: when a result passes, and how many must.
      report: the language of a report as an HTML page, None for none.
    """

    model: str
    results: tuple[PaintedPicture, ...]
    refused: tuple[Unpainted, ...] = ()
    limits: Thresholds = Thresholds()
    report: Language | None = None


class AcceptanceService:
    """Judges what the page has painted.

    Args:
      app: has painted it.
    """

    def __init__(self, app: AppService):
        self._app = app
        self._judges: dict[str, Judges] = {}
        self._judging = threading.Lock()

    def extension(self) -> Extension:
        """What the page's server answers besides."""
        return Extension(
            posted={"/acceptance/pairs": (PairsRequest, self.pairs),
                    "/acceptance": (AcceptanceRequest, self.judge)},
            told={"/acceptance/facts": self.facts})

    def facts(self) -> dict[str, Any]:
        """Who judges which model, the limits where none are given, and the words of a verdict."""
        judges, none = {}, {}
        for model in self._app.names:
            try:
                found = self._judges_of(model)
            except UserError as error:
                none[model] = str(error)
                continue
            judges[model] = {"poses": found.poses.name, "identity":
                             found.identities.name if found.identities else None}
        return {"judges": judges, "unjudged": none, "limits": to_dict(Thresholds()), "most": MOST,
                "per_photo": _PER_PHOTO, "checks": list(CHECKS), "texts": table()}

    def pairs(self, request: PairsRequest) -> dict[str, Any]:
        """Numbers of photo and pose of each result; UserError where there would be none, or many."""
        found = pairs(request.photos, request.poses, request.per_photo)
        if not found:
            raise UserError("photos", "are one, and no pose was given", "give poses or more photos")
        if len(found) > MOST:
            raise UserError("photos", f"give {len(found)} results, and {MOST} are judged at once",
                            "give fewer of each photo, or use repose accept")
        return {"pairs": found}

    def judge(self, request: AcceptanceRequest) -> dict[str, Any]:
        """The verdict, what became of each check, and the report if it is asked for.

        Raises:
          UserError: a picture is not one that this model painted, or its poses cannot be read.
        """
        transfer = self._app.transfer(request.model)
        if not request.results:
            raise UserError("results", "are none", "give at least one picture")
        if len(request.results) > MOST:
            raise UserError("results", f"are more than {MOST}", "judge fewer at once")
        with self._app.reading:
            asked = [_asked(transfer, each) for each in request.results]
            pictures = np.stack([letterbox(_pixels(transfer, each.picture), None, transfer.size)[0]
                                 for each in request.results])
        how = _how(asked[0].text)
        assert how is not None  # of any that were asked for
        for each in asked:
            if _how(each.text) != how:
                raise UserError(each.source, "was painted with other settings than "
                                f"{asked[0].source}", "paint all of them alike")
        with self._judging:
            found = judged(
                transfer, asked, pictures, self._loaded(request.model), request.limits,
                {each.name: each.why for each in request.refused},
                sum(each.results for each in request.refused), how["seed"])
        return _answer(found, transfer, request.report)

    def _judges_of(self, model: str) -> Judges:
        with self._judging:
            return self._loaded(model)

    def _loaded(self, model: str) -> Judges:
        if model not in self._judges:
            transfer = self._app.transfer(model)
            try:
                found = Judges.load(transfer, "", _IDENTITY)
            except UserError:  # of another size: the page says that identity is not judged
                found = Judges.load(transfer, "", "")
            self._judges[model] = found
        return self._judges[model]


def _asked(transfer: PoseTransfer, each: PaintedPicture) -> Asked:
    """What a picture was painted from, in the model's frame, by the steps that painting takes."""
    text = text_of(io.BytesIO(each.picture.content()))
    if text.get("repose:model-sha256") != transfer.loaded.sha256 or _how(text) is None:
        raise UserError(each.picture.label, f"does not say that {transfer.loaded.name} painted it",
                        "give the PNG as it was painted")
    prepared = in_frame(transfer, _pixels(transfer, each.photo), posed("source pose", each.source_pose),
                        posed("target pose", each.target_pose), _RETARGET)
    return Asked(each.source, each.pose, prepared, text)


def _pixels(transfer: PoseTransfer, file: File) -> np.ndarray:
    """A photo or a painted picture, as large as it is in the frame of the model."""
    image = read_image(file.label, file.content())
    if window(image.shape[:2], transfer.size).size != image.shape[:2]:
        raise UserError(file.label, "is not of the model's size", "give it as it was painted")
    return image


def _how(text: dict[str, str]) -> dict[str, Any] | None:
    """What must be alike in all pictures: seed and settings, but those of a single pose.

    None where a picture's text does not tell: anybody may write one.
    """
    try:
        settings = parse_json(text.get("repose:settings", ""), "settings", "cannot be read", "")
        seed = parse_json(text.get("repose:seed", ""), "seed", "cannot be read", "")
    except UserError:
        return None
    if not isinstance(settings, dict) or type(seed) is not int or not 0 <= seed < 2**32:
        return None
    return {"seed": seed} | {key: value for key, value in settings.items() if key not in SINGLE}


def _answer(found: Acceptance, transfer: PoseTransfer, report: Language | None) -> dict[str, Any]:
    def drawn(result: Result) -> str:
        return base64.b64encode(encode_png(drawn_pose(result, transfer.skeleton))).decode("ascii")

    answer = {
        "accepted": found.accepted, "passed": found.passed, "asked": found.asked,
        "lost": found.lost, "share": f"{found.share:.0%}", "wanted": f"{found.thresholds.share:.0%}",
        "checks": [{"name": name, "bounds": bounds(name, found.thresholds),
                    "count": counted(found.results, name)} for name in CHECKS],
        "results": [{
            "passed": result.passed, "failed": list(result.failed),
            "target": drawn(result),
            "checks": [{"name": name, "state": state(result, name),
                        "value": shown(name, result.values[name])} for name in CHECKS]}
            for result in found.results]}
    if report:
        answer |= {"report": page(found, transfer.skeleton, "repose app", report),
                   "numbers": jsonable(found.to_dict())}
    return answer
