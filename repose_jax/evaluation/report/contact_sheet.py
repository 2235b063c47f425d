"""A picture of many results side by side, for the eye."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from repose_jax.common.files import write_whole
from repose_jax.pose.draw import draw_skeleton
from repose_jax.pose.skeleton import Skeleton

_GAP, _HEADER = 4, 16
_INK, _PAPER = (30, 30, 30), (255, 255, 255)
_TITLES = ("source", "pose", "generated", "target")


class SheetRow(NamedTuple):
    """One result: pictures uint8 of one size, and the target pose in their pixels."""

    source: UInt8[np.ndarray, "height width 3"]
    target_pose: Float[np.ndarray, "joints 3"]
    generated: UInt8[np.ndarray, "height width 3"]
    target: UInt8[np.ndarray, "height width 3"]


def contact_sheet(
    rows: Iterable[SheetRow],
    skeleton: Skeleton,
    path: str | os.PathLike[str],
    *,
    upscale: int = 2,
    across: int = 4,
) -> None:
    """Writes the picture that `draw_sheet` makes as a PNG.

    Args:
      path: of the PNG; the others are those of `draw_sheet`.

    Raises:
      UserError: where the file cannot be written.
      ValueError: without rows.
    """
    sheet = draw_sheet(rows, skeleton, upscale=upscale, across=across)
    write_whole(path, lambda file: sheet.save(file, format="PNG"))


def draw_sheet(
    rows: Iterable[SheetRow], skeleton: Skeleton, *, upscale: int = 2, across: int = 4
) -> Image.Image:
    """Source, target pose, generated and real target of each result in one picture.

    Args:
      rows: the results.
      skeleton: of the poses.
      upscale: whole factor on the pictures.
      across: results side by side.

    Raises:
      ValueError: without rows.
    """
    rows = list(rows)
    if not rows:
        raise ValueError("no result to show")
    height, width = (upscale * side for side in rows[0].source.shape[:2])
    across = min(across, len(rows))
    cell_width = len(_TITLES) * (width + _GAP) + 2 * _GAP
    down = -(-len(rows) // across)
    sheet = Image.new("RGB", (across * cell_width, _HEADER + down * (height + _GAP)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        left = number % across * cell_width + _GAP
        top = _HEADER + number // across * (height + _GAP)
        black = np.zeros_like(row.source)
        drawn = Image.fromarray(draw_skeleton(black, row.target_pose, skeleton, upscale=upscale))
        pictures = [Image.fromarray(p).resize((width, height), Image.Resampling.BICUBIC)
                    for p in (row.source, row.generated, row.target)]
        for column, picture in enumerate((pictures[0], drawn, *pictures[1:])):
            x = left + column * (width + _GAP)
            sheet.paste(picture, (x, top))
            if number < across and width >= 40:
                pen.text((x, 2), _TITLES[column], fill=_INK)
    return sheet
