"""Random pairs of a dataset side by side with their poses, for the eye."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Int
from PIL import Image, ImageDraw, ImageFont

from repose_jax.common.errors import UserError
from repose_jax.data.augment.config import NAMES, AugmentConfig
from repose_jax.data.pairs.source import Batch, PairSource
from repose_jax.data.pairs.stream import augmented_examples, examples
from repose_jax.pose.draw import draw_skeleton

_GAP, _LINE, _MARGIN = 4, 14, 6
_INK, _PAPER = (30, 30, 30), (255, 255, 255)
_HEIGHT, _WIDTH = 256, 1600  # pixels: of a picture, about; of the sheet, at most where it can be


@dataclasses.dataclass(frozen=True)
class Cell:
    """Pictures of a pair beside each other, with what is written above and below them."""

    pictures: tuple[np.ndarray, ...]
    above: str
    below: tuple[str, ...]


def show_pairs(
    source: PairSource, count: int, *, seed: int = 0, augment: AugmentConfig = AugmentConfig(),
    each: bool = False,
) -> Image.Image:
    """Random pairs with skeletons drawn on them and names below.

    Args:
      source: the pictures.
      count: how many pairs; all of them where there are fewer.
      seed: which ones, and how they are changed.
      augment: random changes to show.
      each: show every pair in a row: unchanged, then under each change alone, as if its
        probability were 1, then, where probabilities are given, under all of them as in training.
        Otherwise every pair is shown once, as training would see it.

    Raises:
      UserError: where there are no pairs, or fewer than one is asked for.
    """
    if count < 1:
        raise UserError("count", f"is {count}", "give 1 or more")
    if not len(source.pairs):
        raise UserError("the data", "has no pairs", "give two pictures of a person or more")
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(source.pairs), min(count, len(source.pairs)), replace=False))
    seeds = rng.integers(2**63, size=len(chosen))
    upscale = max(1, round(_HEIGHT / source.size[0]))
    names = [tuple(source.names[i] for i in pair) for pair in source.pairs[chosen].tolist()]

    def cells(config: AugmentConfig, title: str) -> list[Cell]:
        batch = _batch(source, chosen, seeds, config)
        return [_cell(source, batch, row, upscale, title, names[row])
                for row in range(len(chosen))]

    if not each:
        return draw_cells(cells(augment, ""))
    columns = [cells(AugmentConfig(), "as it is")]
    columns += [cells(augment.only(name), name) for name in NAMES]
    if augment.active:
        columns.append(cells(augment, "as in training"))
    return draw_cells([cell for row in zip(*columns, strict=True) for cell in row], len(columns))


def _batch(source: PairSource, chosen: Int[np.ndarray, "n"], seeds: Int[np.ndarray, "n"],
           config: AugmentConfig) -> Batch:
    if config.active:
        return augmented_examples(source, chosen, None, seeds, config)
    return examples(source, chosen)


def _cell(source: PairSource, batch: Batch, row: int, upscale: int, title: str,
          names: tuple[str, ...]) -> Cell:
    return Cell(tuple(
        draw_skeleton(batch[key][row], batch[f"{key}_pose"][row], source.skeleton, upscale=upscale)
        for key in ("source", "target")), title, names)


def draw_cells(cells: list[Cell], across: int | None = None) -> Image.Image:
    """Cells in rows of `across`; None takes as many as a sheet of ordinary width holds."""
    height, width = cells[0].pictures[0].shape[:2]
    wide = len(cells[0].pictures) * (width + _GAP) - _GAP + 2 * _MARGIN
    high = height + (bool(cells[0].above) + len(cells[0].below)) * _LINE + 2 * _MARGIN
    across = min(across or max(1, _WIDTH // wide), len(cells))
    sheet = Image.new("RGB", (across * wide, -(-len(cells) // across) * high), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for number, cell in enumerate(cells):
        x, y = number % across * wide + _MARGIN, number // across * high + _MARGIN
        if cell.above:
            pen.text((x, y), cell.above, fill=_INK, font=font)
            y += _LINE
        for picture in cell.pictures:
            sheet.paste(Image.fromarray(picture), (x, y))
            x += width + _GAP
        x = number % across * wide + _MARGIN
        for line, text in enumerate(cell.below):
            pen.text((x, y + height + line * _LINE), _shortened(text, wide - 2 * _MARGIN, font),
                     fill=_INK, font=font)
    return sheet


def _shortened(text: str, width: int, font) -> str:
    """The text with its middle left out where it is too long."""
    for kept in range(len(text), 2, -1):
        short = text if kept == len(text) else f"{text[:kept // 2]}..{text[-(kept - kept // 2):]}"
        if font.getlength(short) <= width:
            return short
    return text[:1]
