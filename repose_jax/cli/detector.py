"""What commands offer for photos: which detector, and which person."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Literal

import tyro

from repose_jax.common.errors import UserError
from repose_jax.inference.detection.detector import PoseDetector
from repose_jax.inference.detection.mediapipe import MediaPipe
from repose_jax.inference.detection.rtmpose import RTMPose
from repose_jax.pose.people import Box, Person

Kind = Literal["rtmpose", "mediapipe"]
BoxOption = Annotated[Box | None, tyro.conf.arg(metavar="X0 Y0 X1 Y1")]

_KINDS: dict[str, tuple[Callable[[str | os.PathLike[str]], PoseDetector], str]] = {
    "rtmpose": (RTMPose, "an .onnx"), "mediapipe": (MediaPipe, "a .task")}


def load_detector(
    kind: Kind | None, model: str | os.PathLike[str] | None
) -> PoseDetector | None:
    """The detector that the options --detector and --detector-model name; None without them.

    Raises:
      UserError: one is given without the other, or the detector cannot be loaded.
    """
    if kind is None and model is None:
        return None
    if kind is None:
        raise UserError("--detector-model", "is given without --detector",
                        f"say which kind it is: --detector {' or '.join(_KINDS)}")
    make, file = _KINDS[kind]
    if model is None:
        raise UserError(f"--detector {kind}", "needs the file of its network, which does not come "
                        "with this package", f"give {file} file as --detector-model FILE")
    return make(model)


def which_person(person: int | Literal["largest"], box: Box | None, option: str) -> Person:
    """The person that two options mean, of which `option` is the one of the box.

    Raises:
      UserError: both are given.
    """
    if box is None:
        return person
    if person != "largest":
        raise UserError(option, "is given beside the number of a person", "give one of them")
    return box
