"""PoseTransfer: what a user imports."""

from __future__ import annotations

import dataclasses
import functools
import os
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.common.ranges import check_seed
from repose_jax.data.image.crop import person_cut_out
from repose_jax.data.image.files import ImageLike, frame_note, is_picture, pixels_of, read_image
from repose_jax.data.image.resize import Window, letterbox, window
from repose_jax.diffusion.samplers import Step
from repose_jax.inference.detection.detector import PoseDetector
from repose_jax.inference.detection.photo_pose import box_inside, photo_pose
from repose_jax.inference.model_frame import Frame, Size, in_frame, in_skeleton, on_body, photo_frame
from repose_jax.models.enlarging import LARGEST, enlarged
from repose_jax.models.laid_head import with_own_head
from repose_jax.models.pose_energy import Guide
from repose_jax.models.pose_energy_file import load_guide
from repose_jax.models.pose_predictor import PoseReader
from repose_jax.models.sample_config import SampleConfig
from repose_jax.models.sampling import coloured, generate, kept
from repose_jax.models.watching import Watch
from repose_jax.models.weights import PretrainedModel, load_model
from repose_jax.networks.rpa import Alignment
from repose_jax.pose.formats import (
    NamedPose, find_photo_pose, in_photo, pose_beside, read_pose)
from repose_jax.pose.people import Box, Person
from repose_jax.pose.retarget import MODES, Mode
from repose_jax.pose.skeleton import SKELETONS, Skeleton

PoseLike = str | os.PathLike[str] | NamedPose | np.ndarray


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Pictures and poses in the frame of a model.

    Attributes:
      source: [height, width, 3].
      source_pose, target_pose: in pixels of that frame.
      window: where the photo lies in it; what the frame has beside it is no part of the picture.
      notes: what had to be done to them, one sentence each.
      large: the source a whole number of times as large, for a result of that size; None for one of
        the model's.
    """

    source: UInt8[np.ndarray, "h w 3"]
    source_pose: Float[np.ndarray, "joints 3"]
    target_pose: Float[np.ndarray, "joints 3"]
    window: Window
    notes: tuple[str, ...]
    large: UInt8[np.ndarray, "h2 w2 3"] | None = None

    def cut(self, picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
        """What of a picture in the frame, or enlarged, is a picture of the photo's own aspect."""
        return self.window.cut(picture, picture.shape[0] // self.source.shape[0])


class PoseTransfer:
    """Re-renders a person in another pose.

        transfer = PoseTransfer.load("people-256")
        picture = transfer("photo.png", "pose.json", source_pose="photo.json")

    Attributes:
      loaded: the model.
      sample: default settings of the sampler; the model's own unless others are given.
      detector: finds the poses in photos that have no pose file; the estimator that the model names
        unless another is given.
      min_confidence: joints of pose files below it are missing; None leaves that to the reader.
    """

    min_confidence: float | None = None

    def __init__(self, loaded: PretrainedModel, sample: SampleConfig | None = None,
                 detector: PoseDetector | None = None):
        self.loaded, self.sample = loaded, sample or loaded.sample
        if detector is not None:
            self.detector = detector
        self._guides: dict[tuple, Guide | None] = {}

    @classmethod
    def load(cls, name: str | os.PathLike[str],
             detector: PoseDetector | None = None) -> PoseTransfer:
        """Loads a model: a bundled name, a file, or the folder of a training run.

        Raises:
          UserError: there is no such model, or its file is damaged.
        """
        return cls(load_model(name), detector=detector)

    @property
    def skeleton(self) -> Skeleton:
        """Skeleton of the model's poses."""
        return SKELETONS[self.loaded.model.config.network.skeleton]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the model's pictures."""
        return self.loaded.model.config.network.image_size

    def __call__(
        self, image: ImageLike, pose: PoseLike, *, source_pose: PoseLike | None = None,
        box: Box | None = None, retarget: Mode = "bones", enlarge: int = 1, frame: Frame = "photo",
        seed: int = 0, **settings: Any,
    ) -> Image.Image:
        """Paints the person of a picture in a pose.

        Args:
          image: the source: a file, a Pillow picture or uint8 [h, w, 3].
          pose: the target pose: a file, a picture of a person in it (see `photo_pose`), a
            `NamedPose`, or [joints, 3] in the model's skeleton and, where it is not retargeted, in
            pixels of the source picture.
          source_pose: the pose in the source picture; see `photo_pose` for the default.
          box: x0, y0, x1, y1 around the person in the source picture, in pixels: only what is
            around it is looked at, and a person who is small in their photo fills the frame.
          retarget: what of the target pose's body becomes the source's: "bones" the lengths of its
            limbs, its size and its place, "scale" the last two, "none" nothing (see
            `pose/retarget.py`).
          enlarge: how many times the model's size the picture is to be; its details are the photo's
            own, where the painter keeps them (see `models/enlarging.py`).
          frame: "photo" for a frame as wide as the photo has it, see `frame`; "model" for that of the
            model, as what `box` cuts out always has.
          seed: the same seed gives the same picture.
          **settings: fields of `SampleConfig`, such as steps or guidance.

        Returns:
          The picture, of the photo's aspect: as large as fits in the frame, or `enlarge` times that.

        Raises:
          UserError: a file or a pose cannot be used, or a setting is out of range.
        """
        if source_pose is None:
            source_pose = self.photo_pose(image, person=box or "largest")
        config = dataclasses.replace(self.sample, **settings)
        prepared = self.prepare(
            image, source_pose, pose, box=box, retarget=retarget, enlarge=enlarge,
            frame=frame, config=config)
        return Image.fromarray(prepared.cut(self.run([prepared], seed, config)[0]))

    def prepare(
        self, image: ImageLike, source_pose: PoseLike, target_pose: PoseLike, *,
        name: str = "image", box: Box | None = None, retarget: Mode = "bones", enlarge: int = 1,
        frame: Frame = "model", config: SampleConfig | None = None,
    ) -> Prepared:
        """Brings a picture and its poses to a frame and the model's skeleton; see `__call__`.

        `name` is what notes and errors call a picture that is no file. What is cut out by a box has
        the model's aspect.
        """
        if retarget not in MODES:
            raise UserError("retarget", f"is {retarget}", f"choose one of {', '.join(MODES)}")
        self.check_enlarge(enlarge)
        where = image if isinstance(image, (str, os.PathLike)) else name
        frames = [] if image is not where else frame_note(image)
        photo = pixels_of(image, where)
        size, free = photo.shape[:2], retarget != "none"
        to = self.frame(size, config) if frame == "photo" and box is None else self.size
        if box is not None:
            box = box_inside(box, size, where)
        target = self._named(target_pose, "target pose")
        target = in_skeleton(target, self.skeleton)
        target = in_frame(target, size, to, anywhere=free)
        source = self._named(source_pose, "source pose", size, box or "largest")
        source = in_photo(source, size, source.where)
        if box is not None:
            photo, source = person_cut_out(photo, source, box, self.size)
        source = in_skeleton(source, self.skeleton)
        source = in_frame(source, photo.shape[:2], to, anywhere=True)
        inner = window(photo.shape[:2], to)
        if free:
            target = on_body(target, source, retarget, inner)
        picture, _, note = letterbox(photo, None, to)
        resized = [f"{where}: {note}"] if note else []
        large = None
        if enlarge > 1:
            large = letterbox(photo, None, to, enlarge)[0]
        return Prepared(picture, source.pose, target.pose, inner, (
            *frames, *source.notes, *target.notes, *resized), large)

    def frame(self, photo: Size, config: SampleConfig | None = None) -> Size:
        """(height, width) of the frame in which a photo of (height, width) is painted.

        The painter's is as wide as the photo has it. Denoiser and guide have learnt from one size, so
        that what is refined, by `config.steps`, is of the model's.
        """
        if (config or self.sample).steps:
            return self.size
        return photo_frame(photo, self.size, self.loaded.model.config.network.unet.stride)

    def check_enlarge(self, times: int) -> None:
        """Refuses, with a UserError, to paint so many times the model's size."""
        if not 1 <= times <= LARGEST:
            raise UserError("enlarge", f"is {times}", f"give 1 to {LARGEST}")
        if times > 1 and not self.loaded.model.config.network.painter.channels:
            raise UserError("enlarge", "needs a painter, which this model has not",
                            "leave it out, or choose a model that paints")

    def _named(self, given: PoseLike, what: str, size: tuple[int, int] | None = None,
               person: Person = "largest") -> NamedPose:
        """A pose with its skeleton, read where it is a file; its `where` is what errors call it.

        Args:
          given: the pose.
          what: the name of a pose that is no file.
          size: (height, width) of the photo whose pose it is; None where it is of another.
          person: which of several people in a file or a photo.
        """
        where = _where(given, what)
        if isinstance(given, (str, os.PathLike)):
            given = (self.photo_pose(given, person=person) if is_picture(given)
                     else read_pose(given, size=size, person=person,
                                    min_confidence=self.min_confidence))
        if not isinstance(given, NamedPose):
            given = NamedPose(pose=np.asarray(given, np.float32), name=what, skeleton=self.skeleton)
        if given.pose.shape != (len(given.skeleton.joints), 3) or not np.isfinite(given.pose).all():
            raise UserError(where, f"has the shape {given.pose.shape} or is not finite",
                            f"give {len(given.skeleton.joints)} rows of x, y, visibility")
        return dataclasses.replace(given, path=os.fspath(where))

    @functools.cached_property
    def detector(self) -> PoseDetector:
        name = self.sample.guidance.estimator
        if not name:
            raise UserError("pose", "is missing beside the photo, and the model names no pose "
                            "estimator", "give the pose in the source picture as --source-pose "
                            "FILE, a target pose as a pose file, or a --detector for both")
        return PoseReader.load(name)

    def read_pose(self, image: ImageLike, *, person: Person = "largest") -> NamedPose:
        """Estimates the pose in a picture with the detector.

        Its joints are known or not: the model learnt from poses without confidences.

        Raises:
          UserError: there is none, or no such person can be read off the picture.
        """
        found = photo_pose(self.detector, image, person)
        return dataclasses.replace(found, pose=np.concatenate(
            [found.pose[:, :2], found.pose[:, 2:] > 0], 1, dtype=np.float32))

    def photo_pose(self, image: ImageLike, *, person: Person = "largest") -> NamedPose:
        """The pose in a photo: that of a pose file of its own name beside it, or else estimated.

        Args:
          image: a file, a Pillow picture or uint8 [h, w, 3].
          person: which of several people: a number, "largest", or a box x0, y0, x1, y1 in pixels.

        Raises:
          UserError: see `read_pose`, also for a pose file that cannot be used.
        """
        beside, passed = pose_beside(image)
        if beside is None:
            found = self.read_pose(image, person=person)
            return dataclasses.replace(found, notes=(*passed, *found.notes))
        found = find_photo_pose(beside, image, read_image(image).shape[:2], person=person,
                                min_confidence=self.min_confidence)
        if found is None:
            raise UserError(beside, "says that nobody is in the photo",
                            "take it away, and the pose is estimated")
        return dataclasses.replace(found, notes=(*passed, *found.notes))

    def guide(self, config: SampleConfig) -> Guide | None:
        """What the gradient guidance of a configuration needs; None where there is none.

        Raises:
          UserError: an estimator or a field cannot be used.
        """
        wanted = config.guidance
        key = (wanted.active, bool(wanted.pif), wanted.estimator, wanted.field)
        if key not in self._guides:
            self._guides[key] = load_guide(wanted, self.loaded.model.config.network)
        return self._guides[key]

    def run(
        self, prepared: list[Prepared], seed: int, config: SampleConfig | None = None,
        watch: Watch | None = None,
    ) -> UInt8[np.ndarray, "batch h w 3"]:
        """Samples a batch, in its frame; picture i does not depend on the others, nor on its place.

        Args:
          prepared: from `prepare`, of one frame and with one `enlarge`.
          seed: shared by the pictures, so that equal inputs give equal pictures.
          config: settings of the sampler.
          watch: is told of every step as it is done, and may stop; see `generate`.

        Raises:
          UserError: for settings that are out of range, a guide that cannot be used.
        """
        config = config or self.sample
        larger = [p.large for p in prepared if p.large is not None]
        painted = self._generate(prepared, seed, config, False, watch, headless=bool(larger))[0]
        if larger:
            source, *poses = self._stack(prepared)
            large = np.stack(larger)
            painted = enlarged(
                coloured(self.loaded.model, config), kept(self.loaded.params, config), painted, source,
                large, *poses)
            if config.head:
                painted = with_own_head(painted, large, *poses, config.head, skeleton=self.skeleton,
                                        times=large.shape[1] // source.shape[1])
        return np.asarray(painted)

    def trajectory(
        self, prepared: Prepared, seed: int, config: SampleConfig | None = None
    ) -> list[Step]:
        """Every step of sampling one picture, for drawing; see `run`.

        What each predicts is a picture in [-1, 1], also where latents are sampled.
        """
        steps = self._generate([prepared], seed, config or self.sample, True)[1]
        model, params = self.loaded.model, self.loaded.params
        show = jax.jit(lambda every: jax.lax.map(lambda x0: model.pictures(params, x0), every))
        return [step._replace(x0=show(step.x0)) for step in steps] if model.config.latent else steps

    def _generate(self, prepared, seed, config, trajectory, watch=None, headless=False):
        """`generate`; `headless` where the source's own head is laid over afterwards."""
        self.check(config, seed)
        if headless:
            config = dataclasses.replace(config, head=0.0)
        guide = self.guide(config)
        keys = jax.numpy.broadcast_to(jax.random.key(seed), (len(prepared),))
        return generate(
            self.loaded.model, self.loaded.params, *self._stack(prepared), keys, config,
            trajectory, guide, watch)

    def align(self, prepared: Prepared) -> Alignment:
        """The recurrent pose alignment of one picture, for drawing."""
        model = self.loaded.model

        def aligned(params, source, *poses):
            return model.align(params, model.encode(params, source), *poses)

        return jax.jit(aligned)(self.loaded.params, *self._stack([prepared]))

    def _stack(self, prepared: list[Prepared]):
        return tuple(jax.numpy.stack([getattr(p, name) for p in prepared])
                     for name in ("source", "source_pose", "target_pose"))

    def check(self, config: SampleConfig, seed: int) -> None:
        """Refuses settings that are out of range, with a UserError."""
        config.check(self.loaded.model.config)
        check_seed(seed)


def _where(given: PoseLike, what: str) -> str | os.PathLike[str]:
    """What notes and errors call a pose: its file, or else `what`."""
    if isinstance(given, (str, os.PathLike)):
        return given
    return given.path or what if isinstance(given, NamedPose) else what
