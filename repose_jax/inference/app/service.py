"""What the page asks for, without HTTP: poses of photos and files, and pictures.

Nothing is kept between requests but loaded models: the page sends its photo with each of them, so that
no photo lies around on a server and a restarted one knows as much as before.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import pathlib
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.common.fields import given
from repose_jax.common.picture_manifest import pixels_hash
from repose_jax.common.provenance import Seal, checked_note, details, png_content
from repose_jax.data.image.files import encode_png, is_picture, read_image
from repose_jax.data.image.resize import fit_pose, letterbox, squeeze_pose, unfit_pose, window
from repose_jax.inference.app.requests import (
    AlignmentRequest, File, PaintRequest, PhotoRequest, PoseRequest, SaveRequest, posed)
from repose_jax.inference.draw_alignment import draw_alignment
from repose_jax.inference.picture_facts import picture_facts
from repose_jax.inference.pipeline import PoseTransfer, Prepared
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.sample_overrides import GuidanceOptions
from repose_jax.models.watching import Watch
from repose_jax.models.weights import bundled, kind_of
from repose_jax.pose.convert import convert
from repose_jax.pose.formats import NamedPose, read_pose
from repose_jax.pose.head import has_face
from repose_jax.pose.pose_writers import pose_as_text
from repose_jax.pose.retarget import Mode
from repose_jax.pose.skeleton import OPENPOSE18, Skeleton

_KIND = "model"
_PREVIEW = 1024  # pixels of the longer side of a photo that is sent back to be shown
_GALLERY = pathlib.Path(__file__).with_name("gallery.json")


class AppService:
    """Answers the page.

    Args:
      models: bundled names, files or folders of runs; none takes all bundled models.
      seal: signs the pictures; None where nothing does.

    Attributes:
      reading: held while a photo is decoded and looked at, which takes some 600 MB where it has as
        many pixels as are taken: of several at once, one after the other.

    Raises:
      UserError: there is no such model, or two have one name.
    """

    def __init__(self, models: Sequence[str] = (), seal: Seal | None = None):
        names = list(models) or [name for name in bundled() if kind_of(name) == _KIND]
        # "people-256" is what the README begins with.
        names.sort(key=lambda name: not models and name != "people-256")
        self._models = {pathlib.Path(name).name: name for name in names}
        if len(self._models) < len(names):
            raise UserError("--model", "has two models of one name", "name each once")
        for name in names:
            if kind_of(name) != _KIND:
                raise UserError(name, f"holds a network of kind {kind_of(name)}",
                                f"give one of kind {_KIND}")
        self._seal = seal
        self._loaded: dict[str, PoseTransfer] = {}
        self._loading, self._painting = threading.Lock(), threading.Lock()
        self.reading = threading.Lock()

    @property
    def names(self) -> Sequence[str]:
        """The models that the page offers."""
        return list(self._models)

    def transfer(self, model: str) -> PoseTransfer:
        """A model that the page offers; UserError for another."""
        if model not in self._models:
            raise UserError("model", f"is {model:.60}", f"choose one of {', '.join(self._models)}")
        with self._loading:
            if model not in self._loaded:
                self._loaded[model] = PoseTransfer.load(self._models[model])
            return self._loaded[model]

    def facts(self) -> dict[str, Any]:
        """The models with their skeletons and settings, and a gallery of poses with its limbs."""
        return {"models": [self._facts_of(name) for name in self._models],
                "gallery": json.loads(_GALLERY.read_text(encoding="utf-8")),
                "limbs": [list(limb) for limb in OPENPOSE18.limbs]}

    def _facts_of(self, name: str) -> dict[str, Any]:
        transfer = self.transfer(name)
        skeleton, sample = transfer.skeleton, transfer.sample
        paints = transfer.loaded.model.config.network.paints
        return {
            "name": name, "size": list(transfer.size), "skeleton": skeleton.name,
            "joints": list(skeleton.joints), "limbs": [list(limb) for limb in skeleton.limbs],
            "settings": {"steps": sample.steps,
                         "keep": sample.keep if paints else None,
                         "palette": sample.palette if paints else None,
                         "head": sample.head if has_face(skeleton) else None,
                         "source_weight": sample.source_weight,
                         "target_weight": sample.guidance.target,
                         "pif_weight": sample.guidance.pif},
            "guided": bool(sample.guidance.estimator)}

    def photo(self, request: PhotoRequest) -> dict[str, Any]:
        """A photo as it is seen, and the pose in it; a pose of None comes with notes that say why.

        Raises:
          UserError: the photo cannot be read.
        """
        transfer, content = self.transfer(request.model), request.photo.content()
        with self.reading:
            image = read_image(request.photo.label, content)
            answer: dict[str, Any] = {
                "size": list(image.shape[:2]), "preview": _base64(_preview(image)), "pose": None}
            try:
                found = _read_off(transfer, image, request.photo)
            except UserError as error:
                return answer | {"notes": [str(error)]}
            del image
        named, notes = _in_skeleton(found, transfer.skeleton)
        return answer | {"pose": _pose_json(named), "notes": notes}

    def pose(self, request: PoseRequest) -> dict[str, Any]:
        """A pose in the model's skeleton and in pixels of the photo, on the body of its person.

        Raises:
          UserError: it cannot be read, or not be put on that body.
        """
        transfer, file = self.transfer(request.model), request.file
        if is_picture(file.label):
            with self.reading:
                found = _read_off(transfer, read_image(file.label, file.content()), file)
        else:
            found = read_pose(file.label, content=file.content())
        size = request.size
        if request.source is None or request.retarget == "none":
            named, notes = _in_skeleton(found, transfer.skeleton)
            if not (named.pose[:, 2] > 0).any():
                raise UserError(file.label, f"has no joint of {transfer.skeleton.name}",
                                "give a pose with known joints")
            moved = fit_pose(named.pose, found.size or size, size)
            return {"pose": _pose_json(_of(named, moved, size)), "notes": notes}
        source = posed("source pose", request.source)
        if source.size != tuple(size):
            raise UserError("source pose", "is of another picture", "reload the page")
        small = window(size, transfer.size).size
        prepared = in_frame(transfer, np.zeros((*small, 3), np.uint8), source,
                            dataclasses.replace(found, path=file.label), request.retarget)
        moved = unfit_pose(prepared.target_pose, size, transfer.size)
        named = NamedPose(pose=moved, name=found.name, skeleton=transfer.skeleton, size=size)
        return {"pose": _pose_json(named), "notes": list(prepared.notes)}

    def save(self, request: SaveRequest) -> dict[str, Any]:
        """The content of a pose file; UserError where the format cannot hold the pose."""
        return {"text": pose_as_text(posed("pose", request.pose), request.format)}

    def steps(self, request: PaintRequest) -> int:
        """How many steps painting takes; UserError for settings that cannot be used."""
        transfer = self.transfer(request.model)
        config = self._settings(transfer, request)
        transfer.check(config, request.seed)
        return config.steps

    def paint(self, request: PaintRequest, watch: Watch | None = None) -> dict[str, Any]:
        """The picture as PNG with its facts, and the photo as the model saw it.

        One picture is painted at a time.

        Args:
          request: what to paint.
          watch: is told of every step, and may stop; the picture is then unfinished.

        Raises:
          UserError: photo, poses or settings cannot be used.
        """
        transfer = self.transfer(request.model)
        config = self._settings(transfer, request)
        transfer.check(config, request.seed)
        content = request.photo.content()
        source, target, prepared = self._prepared(transfer, request, content, config)
        with self._painting:
            start = time.perf_counter()
            guide = transfer.guide(config)
            picture = prepared.cut(transfer.run([prepared], request.seed, config, watch)[0])
            seconds = time.perf_counter() - start
        text = picture_facts(
            config, guide, model=request.model, model_sha256=transfer.loaded.sha256,
            source_sha256=hashlib.sha256(content).hexdigest(), seed=request.seed, pose=target,
            retarget=request.retarget, consent=checked_note(request.consent, "consent"),
            source_pose=["page", source.digest()] if request.source is not None else [
                transfer.detector.name, None], enlarge=request.enlarge, frame=request.frame)
        png = png_content(picture, text, self._seal, [content])
        about = {"sha256": hashlib.sha256(png).hexdigest(),
                 "pixels_sha256": pixels_hash(picture)} | details(text)
        shown = prepared.cut(prepared.source if prepared.large is None else prepared.large)
        return {"picture": _base64(png), "about": about, "source": _base64(encode_png(shown)),
                "seconds": round(seconds, 2), "notes": list(prepared.notes)}

    def alignment(self, request: AlignmentRequest) -> dict[str, Any]:
        """Flow, mask and aligned source of a picture, drawn as `repose transfer --explain` does.

        Raises:
          UserError: the picture is none of the model's, or what it was painted from cannot be used.
        """
        painted = request.painted
        transfer = self.transfer(painted.model)
        with self.reading:
            picture = read_image(request.picture.label, request.picture.content())
        config = self._settings(transfer, painted)
        prepared = self._prepared(transfer, painted, painted.photo.content(), config)[2]
        around = letterbox(picture, None, prepared.source.shape[:2], painted.enlarge)[0]
        if prepared.cut(around).shape != picture.shape:
            raise UserError(request.picture.label, "is not of the model's size", "give its picture")
        with self._painting:
            aligned = transfer.align(prepared)
            drawn = draw_alignment(aligned, prepared.source, prepared.source_pose,
                                   prepared.target_pose, around, transfer.skeleton)
        return {"picture": _base64(encode_png(np.asarray(drawn)))}

    def _prepared(self, transfer: PoseTransfer, request: PaintRequest, content: bytes,
                  config: SampleConfig) -> tuple[NamedPose, NamedPose, Prepared]:
        """The poses of a request, and the photo with them in the frame that it is painted in."""
        target = posed("target pose", request.target)
        with self.reading:
            image = read_image(request.photo.label, content)
            source = _read_off(transfer, image, request.photo) if request.source is None else posed(
                "source pose", request.source)
            return source, target, transfer.prepare(
                image, source, target, name=request.photo.label, retarget=request.retarget,
                enlarge=request.enlarge, frame=request.frame, config=config)

    def _settings(self, transfer: PoseTransfer, request: PaintRequest) -> SampleConfig:
        """The model's settings with a request's in their place; UserError where they do not suit."""
        sample = transfer.sample
        options = GuidanceOptions(target=request.target_weight, pif=request.pif_weight)
        if any(given(options).values()) and not sample.guidance.estimator:
            raise UserError("guidance", "is asked for, but the model names no pose estimator",
                            "give 0")
        return options.over(sample, **given(
            request, "steps", "keep", "palette", "head", "source_weight"))


def in_frame(transfer: PoseTransfer, photo: UInt8[np.ndarray, "h w 3"], source: NamedPose,
             target: NamedPose, retarget: Mode) -> Prepared:
    """What is painted from, by the very steps that painting takes.

    Args:
      transfer: the model.
      photo: as large as it is in the frame of the model.
      source: the pose in the photo, with the size of the file that it was read from.
      target: the new pose.
      retarget: see `PoseTransfer`.
    """
    if source.size is None:
        raise UserError("source pose", "does not tell the size of its photo", "give it as size")
    fitted = squeeze_pose(source.pose, source.size, photo.shape[:2])
    return transfer.prepare(photo, dataclasses.replace(source, pose=fitted, size=photo.shape[:2]),
                            target, retarget=retarget)


def _in_skeleton(found: NamedPose, skeleton: Skeleton) -> tuple[NamedPose, list[str]]:
    """A pose in another skeleton, and the notes on it."""
    pose, lost = convert(found.pose, found.skeleton, skeleton)
    notes = list(found.notes)
    if lost:
        notes.append(f"converted from {found.skeleton.name} to {skeleton.name}, which leaves out "
                     f"{', '.join(lost)}")
    return dataclasses.replace(found, pose=pose, skeleton=skeleton), notes


def _of(named: NamedPose, pose: Float[np.ndarray, "joints 3"], size: tuple[int, int]) -> NamedPose:
    return dataclasses.replace(named, pose=pose, size=size)


def _pose_json(named: NamedPose) -> dict[str, Any]:
    """A pose in our own JSON, as an object."""
    return json.loads(pose_as_text(named))


def _preview(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """A photo for the page, made smaller where it is larger than is looked at."""
    factor = max(image.shape[:2]) / _PREVIEW
    if factor <= 1:
        return encode_png(image)
    height, width = (max(1, round(side / factor)) for side in image.shape[:2])
    content = io.BytesIO()
    Image.fromarray(image).resize((width, height), Image.Resampling.BOX).save(
        content, "JPEG", quality=90)
    return content.getvalue()


def _read_off(transfer: PoseTransfer, image: UInt8[np.ndarray, "h w 3"], file: File) -> NamedPose:
    """The pose in a picture; notes and errors call it as it is called in the browser."""
    try:
        found = transfer.read_pose(image)
    except UserError as error:
        where = file.label if error.where == "image" else error.where
        raise UserError(where, error.what, error.mend) from None
    return dataclasses.replace(found, name=file.label, notes=tuple(
        f"{file.label}: {note.removeprefix('image: ')}" for note in found.notes))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
