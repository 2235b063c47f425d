"""`repose pose`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from PIL import Image

from repose_jax.cli.detector import BoxOption, Kind, load_detector, which_person
from repose_jax.cli.terminal import parse, say, use_compilation_cache
from repose_jax.common.errors import UserError
from repose_jax.common.ranges import Finite, Natural, Side
from repose_jax.pose.people import Person


@dataclasses.dataclass(frozen=True)
class PoseOptions:
    """Read a person's pose off a photo, or from a pose file of any format, and write it in one.

    Attributes:
      photo: the photo, of which an estimator and RTMPose take one person to fill it, unless --box
        says where they are; or a pose file, of which is said what was read.
      output: the pose file to write: .json, .csv for csv, .txt for text. A pose file may be read
        without it.
      format: of the output.
      box: left, top, right and bottom in pixels of the photo: the person who is there.
      person: which of several people: a number, from 0, or the one who is seen best.
      name: of a pose file the row or picture, where it has several.
      size: height and width of the picture of a pose file that does not tell it.
      min_confidence: joints of a pose file that have a lower confidence are missing; 0.3 by default.
      estimator: a bundled pose estimator, a file, or the folder of a training run: one of the
        photo's domain; reader-people by default.
      detector: another program's detector in place of the estimator.
      detector_model: the file of the detector's network: RTMPose's .onnx, MediaPipe's .task.
      draw: also write the photo with the skeleton drawn on it, as PNG.
    """

    photo: Annotated[pathlib.Path, tyro.conf.Positional]
    output: Annotated[pathlib.Path | None, tyro.conf.arg(aliases=["-o"])] = None
    format: Literal["ours", "openpose", "coco", "csv", "text"] = "ours"
    box: BoxOption = None
    person: Natural | Literal["largest"] = "largest"
    name: str | None = None
    size: tuple[Side, Side] | None = None
    min_confidence: Finite | None = None
    estimator: str | None = None
    detector: Kind | None = None
    detector_model: pathlib.Path | None = None
    draw: pathlib.Path | None = None


_SUFFIXES = {"csv": ".csv", "text": ".txt"}


def pose(argv: Sequence[str]) -> int:
    """Read a person's pose off a photo or a pose file, and write it in a format of the field."""
    options = parse(PoseOptions, "pose", argv)
    from repose_jax.common.files import check_writable
    from repose_jax.common.provenance import check_png
    from repose_jax.data.image.files import is_picture

    suffix = _SUFFIXES.get(options.format, ".json")
    if options.output is not None and options.output.suffix != suffix:
        kind = f"a {options.format} file" if suffix != ".json" else "a JSON file"
        raise UserError(options.output, f"is not the name of {kind}", f"let it end in {suffix}")
    if options.draw is not None:
        check_png(options.draw)
    for path in filter(None, (options.output, options.draw)):
        check_writable(path.parent)
        if path.resolve() == options.photo.resolve():
            raise UserError(path, "would replace the photo", "choose another output")
    person = which_person(options.person, options.box, "--box")
    return (_of_photo if is_picture(options.photo) else _of_file)(options, person)


def _refuse(options: PoseOptions, names: Sequence[str], what: str) -> None:
    for name in names:
        if getattr(options, name) is not None:
            raise UserError(f"--{name.replace('_', '-')}", f"has no meaning for {what}",
                            "leave it out")


def _of_file(options: PoseOptions, person: Person) -> int:
    from repose_jax.pose.formats import read_pose, read_poses, write_pose
    from repose_jax.pose.pose_report import described, joint_lines

    _refuse(options, ("estimator", "detector", "detector_model", "draw"), "a pose file")
    reading: dict[str, Any] = {"size": options.size, "min_confidence": options.min_confidence}
    for line in described(read_poses(options.photo, **reading)):
        say(line)
    found = read_pose(options.photo, row=options.name, person=person, **reading)
    for line in (*found.notes, f"{found.name}:", *joint_lines(found)):
        say(line)
    if options.output is not None:
        if found.size is None:
            found = dataclasses.replace(found, size=options.size)
        write_pose(options.output, found, options.format)
        say(f"wrote {options.output}")
    return 0


def _of_photo(options: PoseOptions, person: Person) -> int:
    use_compilation_cache()
    from repose_jax.common.files import write_whole
    from repose_jax.data.image.files import read_image
    from repose_jax.inference.detection.photo_pose import photo_pose
    from repose_jax.models.pose_predictor import PoseReader
    from repose_jax.pose.draw import draw_skeleton
    from repose_jax.pose.formats import write_pose

    _refuse(options, ("name", "size", "min_confidence"), "a photo")
    if options.output is None:
        raise UserError("--output", "is missing", "name the pose file to write")
    image = read_image(options.photo)
    if options.detector and options.estimator:
        raise UserError("--detector", "is given beside --estimator", "give one of them")
    detector = load_detector(options.detector, options.detector_model) or PoseReader.load(
        options.estimator or "reader-people")
    found = photo_pose(detector, options.photo, person)
    write_pose(options.output, found, options.format)
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
