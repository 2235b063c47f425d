"""`repose pose`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import tyro
from PIL import Image

from repose_jax.cli.terminal import parse, say, use_compilation_cache
from repose_jax.common.errors import UserError
from repose_jax.inference.detection.options import BoxOption, Kind, load_detector, which_person


@dataclasses.dataclass(frozen=True)
class PoseOptions:
    """Read a person's pose off a photo.

    Attributes:
      photo: the photo. An estimator and RTMPose take one person to fill it, unless --box says where
        they are.
      output: the pose file to write, JSON.
      box: left, top, right and bottom in pixels of the photo: the person who is there.
      person: which of several people that a detector finds: a number, from 0, or the one who is
        seen best.
      estimator: a bundled pose estimator, a file, or the folder of a training run: one of the
        photo's domain; estimator-people by default.
      detector: another program's detector in place of the estimator.
      detector_model: the file of the detector's network: RTMPose's .onnx, MediaPipe's .task.
      draw: also write the photo with the skeleton drawn on it, as PNG.
    """

    photo: Annotated[pathlib.Path, tyro.conf.Positional]
    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=["-o"])]
    box: BoxOption = None
    person: int | Literal["largest"] = "largest"
    estimator: str | None = None
    detector: Kind | None = None
    detector_model: pathlib.Path | None = None
    draw: pathlib.Path | None = None


def pose(argv: Sequence[str]) -> int:
    """Read a person's pose off a photo."""
    options = parse(PoseOptions, "pose", argv)
    use_compilation_cache()
    from repose_jax.common.files import check_writable, write_whole
    from repose_jax.common.provenance import check_png
    from repose_jax.data.image.files import read_image
    from repose_jax.inference.detection.photo_pose import photo_pose
    from repose_jax.models.pose_predictor import PoseReader
    from repose_jax.pose.draw import draw_skeleton
    from repose_jax.pose.formats import write_pose

    if options.output.suffix != ".json":
        raise UserError(options.output, "is not the name of a JSON file", "let it end in .json")
    if options.draw is not None:
        check_png(options.draw)
    for path in filter(None, (options.output, options.draw)):
        check_writable(path.parent)
        if path.resolve() == options.photo.resolve():
            raise UserError(path, "would replace the photo", "choose another output")
    person = which_person(options.person, options.box, "--box")
    image = read_image(options.photo)
    if options.detector and options.estimator:
        raise UserError("--detector", "is given beside --estimator", "give one of them")
    detector = load_detector(options.detector, options.detector_model) or PoseReader.load(
        options.estimator or "estimator-people")
    found = photo_pose(detector, options.photo, person)
    write_pose(options.output, found)
    for note in found.notes:
        say(note)
    say(f"mean confidence {found.pose[found.pose[:, 2] > 0, 2].mean():.2f}")
    say(f"wrote {options.output}")
    if options.draw is not None:
        upscale = max(1, 512 // image.shape[0])
        drawn = Image.fromarray(np.asarray(
            draw_skeleton(image, found.pose, found.skeleton, upscale=upscale)))
        write_whole(options.draw, lambda file: drawn.save(file, format="PNG"))
        say(f"wrote {options.draw}")
    return 0
