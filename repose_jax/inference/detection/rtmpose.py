"""RTMPose and other networks with SimCC outputs, from ONNX files, run by onnxruntime.

SimCC (Li et al., ECCV 2022) classifies a joint's x and y apart, in bins finer than pixels. What goes
in and out is as in MMPose (Jiang et al., RTMPose, 2023) and rtmlib: the box 1.25 times as large, made
of the input's aspect, black outside of the photo (`GetBBoxCenterScale`, `TopdownAffine`); RGB less
ImageNet's mean by its deviation, of values up to 255 (`PoseDataPreprocessor`); the place of a joint is
the largest bin's by the bins a pixel, its score the smaller one of the two maxima
(`get_simcc_maximum`). Pixels are counted alike before and after, by their centres.
"""

from __future__ import annotations

import os

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from repose_jax.common.errors import UserError
from repose_jax.data.image.crop import framed
from repose_jax.pose.detectors import detected, layout_of
from repose_jax.pose.people import Box
from repose_jax.pose.skeleton import Skeleton

_MARGIN = 1.25
_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
_DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)
_OUTPUTS = ["simcc_x", "simcc_y"]
_MEND = "give an RTMPose exported to ONNX, with the outputs simcc_x and simcc_y"


class RTMPose:
    """A network that sees one person, in the box or in the whole photo."""

    finds_people = False

    def __init__(self, model: str | os.PathLike[str]):
        """Loads a network.

        Args:
          model: the ONNX file.

        Raises:
          UserError: onnxruntime is not installed, or the file holds no such network.
        """
        self.name, self._path = os.path.basename(model), os.fspath(model)
        self._session, self._errors = _session(self._path)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
            taken = ", ".join(f"{i.type} {i.shape}" for i in inputs)
            raise UserError(model, f"takes {taken}, not one picture of floats", _MEND)
        self._input = inputs[0].name
        at_once, channels, *size = inputs[0].shape
        if (isinstance(at_once, int) and at_once != 1) or channels != 3 or not all(
                isinstance(side, int) for side in size):
            raise UserError(model, f"takes pictures of {inputs[0].shape}", "export it with an "
                            "input of [1, 3, height, width], such as 256 and 192")
        self._size = tuple(size)
        outputs = [out.name for out in self._session.get_outputs()]
        if not set(_OUTPUTS) <= set(outputs):
            raise UserError(model, f"gives {', '.join(outputs)}", _MEND)
        # Files need not tell the shapes of what they give; a run does.
        shapes = [axis.shape for axis in self._bins(np.zeros((*self._size, 3), np.float32))]
        if any(len(shape) != 3 for shape in shapes) or shapes[0][:2] != shapes[1][:2]:
            raise UserError(model, f"gives {shapes[0]} and {shapes[1]}, not [1, joints, bins]",
                            _MEND)
        try:
            layout_of(shapes[0][1])
        except ValueError as error:
            raise UserError(model, str(error), _MEND) from None

    def people(
        self, photo: UInt8[np.ndarray, "height width 3"], box: Box | None = None
    ) -> tuple[Float[np.ndarray, "1 joints 3"], Skeleton]:
        """The pose of the one person; see `PoseDetector`."""
        region = framed(box or (0, 0, *photo.shape[1::-1]), self._size, _MARGIN)
        per_pixel = (region[2] - region[0]) / self._size[1]
        bins = self._bins((_resampled(photo, region, self._size) - _MEAN) / _DEVIATION)
        in_input = [axis.argmax(-1) * side / axis.shape[-1]
                    for axis, side in zip(bins, self._size[::-1], strict=True)]
        scores = np.minimum(*(axis.max(-1) for axis in bins))
        try:
            return detected(np.stack(in_input, -1) * per_pixel + region[:2], scores)
        except ValueError as error:
            raise UserError(self._path, f"{error} for this photo", _MEND) from None

    def _bins(
        self, signal: Float[np.ndarray, "height width 3"]
    ) -> list[Float[np.ndarray, "1 points bins"]]:
        try:
            return self._session.run(_OUTPUTS, {self._input: signal.transpose(2, 0, 1)[None]})
        except self._errors as error:
            raise UserError(self._path, f"fails when it is run ({error})", _MEND) from None


def _session(model: str):
    """The network, opened, and what onnxruntime raises, which has no common kind."""
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state
    except ImportError:
        raise UserError("onnxruntime", "is not installed, which runs RTMPose",
                        "pip install '.[detectors]'") from None
    if not os.path.isfile(model):
        raise UserError(model, "is not a file", _MEND)
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 4  # what is fatal; the rest is raised
    errors = (state.Fail, state.InvalidProtobuf, state.InvalidGraph, state.InvalidArgument,
              state.NotImplemented, state.NoSuchFile, state.RuntimeException)
    try:
        return onnxruntime.InferenceSession(
            model, quiet, providers=["CPUExecutionProvider"]), errors
    except errors as error:
        raise UserError(model, f"is not a network that onnxruntime can run ({error})",
                        _MEND) from None


def _resampled(
    photo: UInt8[np.ndarray, "height0 width0 3"], region: Box, size: tuple[int, int]
) -> Float[np.ndarray, "height width 3"]:
    """A region of a photo in another size: linear between pixels, black outside."""
    step = (region[2] - region[0]) / size[1]
    # Pillow counts pixels by their corners, so that its first centre lies at half a pixel.
    left, top = (edge + (1 - step) / 2 for edge in region[:2])
    picture = Image.fromarray(photo).transform(
        size[::-1], Image.Transform.AFFINE, (step, 0, left, 0, step, top),
        resample=Image.Resampling.BILINEAR)
    return np.asarray(picture, np.float32)
