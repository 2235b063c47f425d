"""`repose pose`."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import tyro
from PIL import Image

from repose_jax.cli.terminal import parse, say, use_compilation_cache
from repose_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class PoseOptions:
    """Read the pose off a photo of one person.

    Attributes:
      photo: upright, of one person who fills the picture's height.
      output: the pose file to write, JSON.
      estimator: a bundled pose estimator, a file, or the folder of a training run: one of the
        photo's domain.
      draw: also write the photo with the skeleton drawn on it, as PNG.
    """

    photo: Annotated[pathlib.Path, tyro.conf.Positional]
    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=["-o"])]
    estimator: str = "estimator-people"
    draw: pathlib.Path | None = None


def pose(argv: Sequence[str]) -> int:
    """Read the pose off a photo of one person."""
    options = parse(PoseOptions, "pose", argv)
    use_compilation_cache()
    from repose_jax.data.images import read_image
    from repose_jax.files import check_writable, write_whole
    from repose_jax.pose.draw import draw_skeleton
    from repose_jax.pose.formats import write_pose
    from repose_jax.pose_reader import PoseReader
    from repose_jax.provenance import check_png

    if options.output.suffix != ".json":
        raise UserError(options.output, "is not the name of a JSON file", "let it end in .json")
    if options.draw is not None:
        check_png(options.draw)
    for path in filter(None, (options.output, options.draw)):
        check_writable(path.parent)
    image = read_image(options.photo)
    found = PoseReader.load(options.estimator)(options.photo)
    write_pose(options.output, found)
    known = found.pose[:, 2] > 0
    say(f"{known.sum()} of {len(known)} joints, mean confidence {found.pose[known, 2].mean():.2f}")
    say(f"wrote {options.output}")
    if options.draw is not None:
        upscale = max(1, 512 // image.shape[0])
        drawn = Image.fromarray(np.asarray(
            draw_skeleton(image, found.pose, found.skeleton, upscale=upscale)))
        write_whole(options.draw, lambda file: drawn.save(file, format="PNG"))
        say(f"wrote {options.draw}")
    return 0
