"""What the page asks, as JSON: checked before anything is done."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import pathlib
from typing import Annotated, Any, Literal, TypeVar

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.common.fields import from_dict
from repose_jax.common.ranges import Finite, Fraction, Natural, Range, Seed, Side, Weight
from repose_jax.inference.model_frame import Frame
from repose_jax.models.enlarging import LARGEST
from repose_jax.pose.formats import NamedPose, read_pose
from repose_jax.pose.pose_writers import Format
from repose_jax.pose.retarget import Mode

T = TypeVar("T")
_LONGEST_NAME = 80
_HINT = "reload the page"


@dataclasses.dataclass(frozen=True, kw_only=True)
class File:
    """A file that was chosen in the browser.

    Attributes:
      name: its name there, which errors carry; it is never opened here.
      base64: its content.
    """

    name: str
    base64: str

    def content(self) -> bytes:
        """The bytes; UserError where they are none."""
        try:
            return base64.b64decode(self.base64, validate=True)
        except (binascii.Error, ValueError):
            raise UserError(self.label, "is not base64", _HINT) from None

    @property
    def label(self) -> str:
        """What errors and notes call it: without folders, of bounded length, in one line."""
        name = pathlib.PurePosixPath(self.name.replace("\\", "/")).name[-_LONGEST_NAME:]
        return "".join(c if c.isprintable() else "?" for c in name) or "file"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhotoRequest:
    """Find the pose in a photo.

    Attributes:
      model: one of those that the page offers, whose estimator and skeleton are taken.
      photo: the photo.
    """

    model: str
    photo: File


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoseRequest:
    """Read a pose of any format, or off another photo, and put it on the photo's person.

    Attributes:
      model: whose skeleton the pose is wanted in.
      file: of the pose, or a picture of a person in it.
      size: (height, width) of the photo.
      source: the pose in the photo, in our own JSON; None where it is not known.
      retarget: what of the pose's body becomes the source's.
    """

    model: str
    file: File
    size: tuple[Side, Side]
    source: Any = None
    retarget: Mode = "bones"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SaveRequest:
    """Write a pose in a format of the field.

    Attributes:
      pose: in our own JSON.
      format: of the file.
    """

    pose: Any
    format: Format = "openpose"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PaintRequest:
    """Paint the person of a photo in a pose.

    Attributes:
      model: one of those that the page offers.
      photo: the photo.
      source, target: the poses in pixels of the photo, in our own JSON; a source of None is read off
        the photo.
      retarget: what of the target pose's body becomes the source's.
      enlarge: how many times as large as it is painted the picture is to be.
      frame: see `PoseTransfer`.
      seed: the same seed gives the same picture.
      steps, keep, palette, head, source_weight: of the sampler; the model's own where they are None.
      target_weight, pif_weight: of the gradient guidance; the model's own where they are None.
      consent: a note on the consent of the person in the photo, which the picture carries.
    """

    model: str
    photo: File
    target: Any
    source: Any = None
    retarget: Literal["bones", "scale", "none"] = "bones"
    enlarge: Annotated[int, Range(1, LARGEST)] = 1
    frame: Frame = "photo"
    seed: Seed = 0
    steps: Natural | None = None
    keep: Finite | None = None
    palette: Fraction | None = None
    head: Fraction | None = None
    source_weight: Finite | None = None
    target_weight: Weight | None = None
    pif_weight: Weight | None = None
    consent: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlignmentRequest:
    """Draw where a picture's pixels were taken from.

    Attributes:
      painted: what was painted.
      picture: the PNG that came of it.
    """

    painted: PaintRequest
    picture: File


def parse(kind: type[T], body: bytes) -> T:
    """A request of a kind.

    Raises:
      UserError: the body is no JSON, or not such a request.
    """
    try:
        values = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise UserError("request", "is not JSON", _HINT) from None
    try:
        return from_dict(kind, values, "request")
    except UserError as error:
        hint = error.mend if error.mend.startswith("give ") else _HINT
        raise UserError(error.where, error.what, hint) from None


def posed(what: str, values: Any) -> NamedPose:
    """A pose of our own JSON, read as a file of it would be; UserError calls it `what`."""
    if not isinstance(values, dict):
        raise UserError(what, "is missing", "give a pose with known joints")
    found = read_pose(what, content=json.dumps(values).encode())
    # Joints of the page are known or not, as those of the models' training.
    known = found.pose[:, 2:] > 0
    return dataclasses.replace(
        found, pose=np.concatenate([found.pose[:, :2], known], 1, dtype=np.float32))


def _no_number(word: str) -> None:
    raise ValueError(word)
