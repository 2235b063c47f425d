"""What a person wears: cuts, colours and patterns, and what colour a point of a garment has.

Patterns are functions of the garment's own surface coordinates, so that they follow the limb. u
runs around it and v along it, both in metres.
"""

from __future__ import annotations

import colorsys
import dataclasses

import numpy as np
from jaxtyping import Float

Colour = tuple[float, float, float]

PATTERNS = ("plain", "bands", "pinstripes", "checks", "dots", "tartan", "print", "block")
SLEEVES = ("none", "short", "elbow", "long")
OPENINGS = ("closed", "buttons", "open", "zip")
BOTTOMS = ("trousers", "wide", "leggings", "shorts", "skirt", "dress")
SHOES = ("sneakers", "shoes", "boots", "sandals")
HAIRS = ("bald", "short", "bob", "long", "ponytail", "bun", "curls")
BAGS = ("none", "backpack", "handbag", "shoulder_bag")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pattern:
    """A pattern: its kind (one of `PATTERNS` or `cloth.PRINTS`), its colours in [0, 1], its period in
    metres."""

    kind: str
    colours: tuple[Colour, Colour, Colour]
    period: float
    phase: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outfit:
    """Everything about a person's looks but the body's shape.

    Attributes:
      skin, hair_colour: colours in [0, 1].
      hair, hair_length: one of `HAIRS`; how far long hair hangs below the skull, metres.
      beard, hat, glasses: whether there is one.
      top, sleeve, opening, hem: pattern, one of `SLEEVES`, one of `OPENINGS`, height of the top's
        hem above the hip joints in metres.
      neckline: depth of the neckline in metres.
      inner: colour of what an open top shows.
      emblem: a picture on the chest, 0 for none or the number of one.
      bottom, bottom_cut, bottom_length: pattern, one of `BOTTOMS`, fraction of the leg it covers.
      looseness: thickness of cloth and air, metres.
      drape: how far the hem of a top, or of a dress that hangs from the chest, stands off, metres; 0
        for what is cut to the body. Sleeves get half of it.
      flare: how far the hem of a skirt stands off, metres.
      locks: how far long hair falls before the shoulders, metres.
      lifelike: whether the face is shaded as on photos, see `face`, or of flat shapes.
      shoes, shoe, sole, sock: one of `SHOES` and colours.
      hat_colour, bag, bag_colour, belt: further colours; bag is one of `BAGS`.
    """

    skin: Colour
    hair_colour: Colour
    hair: str
    hair_length: float
    beard: bool
    hat: bool
    glasses: bool
    top: Pattern
    sleeve: str
    opening: str
    hem: float
    neckline: float
    inner: Colour
    emblem: int
    bottom: Pattern
    bottom_cut: str
    bottom_length: float
    looseness: float
    shoes: str
    shoe: Colour
    sole: Colour
    sock: Colour
    hat_colour: Colour
    bag: str
    bag_colour: Colour
    belt: Colour
    drape: float = 0.0
    flare: float = 0.0
    locks: float = 0.0
    lifelike: bool = False


_SKINS = np.array(((0.96, 0.80, 0.69), (0.91, 0.72, 0.58), (0.80, 0.60, 0.45), (0.64, 0.44, 0.31),
                   (0.47, 0.31, 0.22), (0.33, 0.21, 0.15)))
_HAIR_COLOURS = ((0.06, 0.05, 0.05), (0.13, 0.09, 0.07), (0.27, 0.17, 0.10), (0.42, 0.28, 0.16),
                 (0.74, 0.57, 0.33), (0.55, 0.22, 0.10), (0.58, 0.57, 0.56), (0.10, 0.07, 0.06))
_NEUTRALS = ((0.08, 0.08, 0.09), (0.93, 0.93, 0.91), (0.45, 0.45, 0.47), (0.15, 0.19, 0.33),
             (0.72, 0.63, 0.48), (0.28, 0.30, 0.22), (0.25, 0.36, 0.55))


def sample_colour(rng: np.random.Generator, neutral: float = 0.4) -> Colour:
    """A cloth's colour: with probability `neutral` black, white, grey, navy, beige, olive, blue."""
    draw = rng.random(4)
    if draw[0] < neutral:
        base = _NEUTRALS[int(draw[1] * len(_NEUTRALS))]
        return tuple(float(np.clip(c + 0.06 * (draw[2] - 0.5), 0.03, 0.97)) for c in base)
    return colorsys.hsv_to_rgb(draw[1], 0.35 + 0.6 * draw[2], 0.30 + 0.65 * draw[3])


def _contrast(rng: np.random.Generator, base: Colour, neutral: float = 0.5) -> Colour:
    # The second colour of a pattern must show, or the pattern does not.
    for _ in range(8):
        colour = sample_colour(rng, neutral)
        if np.abs(np.subtract(colour, base)).sum() > 0.7:
            return colour
    return (0.95, 0.95, 0.93) if sum(base) < 1.5 else (0.08, 0.08, 0.1)


def sample_pattern(rng: np.random.Generator, plain: float) -> Pattern:
    """A pattern that is plain with a given probability."""
    first = sample_colour(rng)
    second = _contrast(rng, first)
    kind = "plain" if rng.random() < plain else str(rng.choice(PATTERNS[1:]))
    low, high = {"bands": (0.05, 0.14), "pinstripes": (0.04, 0.09), "checks": (0.06, 0.14),
                 "dots": (0.06, 0.12), "tartan": (0.08, 0.16), "print": (0.10, 0.22),
                 "block": (0.2, 0.4)}.get(kind, (0.1, 0.1))
    return Pattern(kind=kind, colours=(first, second, sample_colour(rng)),
                   period=float(rng.uniform(low, high)), phase=float(rng.random()))


def sample_outfit(rng: np.random.Generator, femininity: float) -> Outfit:
    """An outfit; `femininity` in [0, 1] shifts what is likely, and nothing is impossible at .5."""
    woman = rng.random() < femininity
    tone = rng.random() * (len(_SKINS) - 1)
    skin = _SKINS[int(tone)] * (1 - tone % 1) + _SKINS[int(tone) + 1] * (tone % 1)
    hair = str(rng.choice(HAIRS, p=(0.0, .12, .2, .34, .18, .1, .06) if woman
                          else (.1, .72, .04, .03, .02, .01, .08)))
    cut = str(rng.choice(BOTTOMS, p=(.3, .08, .22, .1, .14, .16) if woman
                         else (.62, .1, .03, .25, 0, 0)))
    bottom_length = {"shorts": rng.uniform(0.28, 0.5), "skirt": rng.uniform(0.3, 0.8),
                     "dress": rng.uniform(0.32, 0.85)}.get(cut, rng.uniform(0.88, 0.97))
    if cut != "dress" and rng.random() < 0.1:
        bottom_length *= 0.85
    top = sample_pattern(rng, plain=0.45)
    bottom = top if cut == "dress" else sample_pattern(
        rng, plain=0.45 if cut == "skirt" else 0.82)
    opening = str(rng.choice(OPENINGS, p=(.5, .16, .22, .12)))
    sleeve = str(rng.choice(SLEEVES, p=(.18, .37, .1, .35) if woman else (.05, .45, .1, .4)))
    if opening in ("open", "zip"):
        sleeve = "long"
    if cut == "dress":
        opening = "closed"
    inner = _contrast(rng, top.colours[0], neutral=0.7)
    return Outfit(
        skin=tuple(skin.tolist()), hair_colour=_HAIR_COLOURS[int(rng.integers(len(_HAIR_COLOURS)))],
        hair=hair, hair_length=float(rng.uniform(0.05, 0.28)),
        beard=bool(not woman and rng.random() < 0.25), hat=bool(rng.random() < 0.1),
        glasses=bool(rng.random() < 0.15), top=top, sleeve=sleeve, opening=opening,
        # Tucked in under a belt, or worn over the bottom; a skirt's top is tucked in.
        hem=0.10 if opening != "open" and (cut in ("skirt", "dress") or rng.random() < 0.4)
        else float(rng.uniform(-0.13, -0.03)),
        neckline=float(rng.uniform(0.02, 0.11)), inner=inner,
        emblem=int(rng.integers(1, 6)) if opening == "closed" and rng.random() < 0.45 else 0,
        bottom=bottom, bottom_cut=cut, bottom_length=float(bottom_length),
        looseness=float(rng.uniform(0.004, 0.016)),
        shoes=str(rng.choice(SHOES, p=(.45, .25, .15, .15) if woman else (.55, .33, .07, .05))),
        shoe=sample_colour(rng, 0.7), sole=(0.92, 0.92, 0.9) if rng.random() < 0.6 else (
            0.15, 0.12, 0.1), sock=sample_colour(rng, 0.8), hat_colour=sample_colour(rng),
        bag=str(rng.choice(BAGS, p=(.66, .14, .1, .1))), bag_colour=sample_colour(rng),
        belt=(0.12, 0.08, 0.06) if rng.random() < 0.6 else sample_colour(rng))


def whole_turns(pattern: Pattern, radius: float) -> float:
    """The radius, near a given one, at which a whole number of periods fits around the limb."""
    turns = max(1, round(2 * np.pi * radius / pattern.period))
    return turns * pattern.period / (2 * np.pi)


def paint(pattern: Pattern, u: Float[np.ndarray, "points"],
          v: Float[np.ndarray, "points"]) -> Float[np.ndarray, "points 3"]:
    """Colours of points of a garment.

    Args:
      pattern: the pattern.
      u: metres around the limb from the front.
      v: metres along it.

    Returns:
      Colours in [0, 1].
    """
    colours = np.array(pattern.colours, np.float32)
    if pattern.kind == "plain":
        return np.broadcast_to(colours[0], (len(u), 3))
    u, v = u / np.float32(pattern.period), v / np.float32(pattern.period) + np.float32(
        pattern.phase)
    if pattern.kind == "bands":
        chosen = (v % 1 < 0.45).astype(np.intp)
    elif pattern.kind == "pinstripes":
        chosen = ((u + 0.5) % 1 < 0.35).astype(np.intp)
    elif pattern.kind == "checks":
        chosen = ((u % 1 < 0.5) ^ (v % 1 < 0.5)).astype(np.intp)
    elif pattern.kind == "dots":
        odd = np.floor(v) % 2 * 0.5
        chosen = (((u + odd) % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < 0.085).astype(np.intp)
    elif pattern.kind == "block":
        chosen = (np.floor(v) % 2).astype(np.intp)
    elif pattern.kind == "tartan":
        warp, weft = (u % 1 < 0.5).astype(np.float32), (v % 1 < 0.5).astype(np.float32)
        mixed = colours[0] + (warp + weft)[:, None] * 0.5 * (colours[1] - colours[0])
        mixed[((u % 1 - 0.75) ** 2 < 0.003) | ((v % 1 - 0.75) ** 2 < 0.003)] = colours[2]
        return mixed
    elif pattern.kind in ("painted", "camouflage"):
        return _paint_blots(colours, u, v, pattern)
    elif pattern.kind == "letters":
        # Rows of black and white, as of glyphs of five by seven dots, every other row empty.
        column, row = np.floor(u * 24).astype(int), np.floor(v * 24).astype(int)
        glyphs = np.random.default_rng(int(pattern.phase * 2**31)).random((7, 24)) < 0.55
        inked = (row // 7 % 2 == 0) & (column % 6 != 5) & glyphs[row % 7, column % 24]
        chosen = inked.astype(np.intp)
    else:
        # Blobs of two colours: sums of waves whose frequencies around are whole numbers.
        phase = 2 * np.pi * pattern.phase
        one = np.sin(2 * np.pi * u + 1.7 * np.sin(5.0 * v + phase)) + np.sin(6.1 * v + 2 * phase)
        two = np.cos(4 * np.pi * u + 3 * phase) + np.sin(7.3 * v + 1.3 * np.sin(2 * np.pi * u))
        chosen = np.where(one > 0.75, 1, np.where(two > 0.95, 2, 0))
    return colours[chosen]


def _paint_blots(colours: Float[np.ndarray, "3 3"], u: np.ndarray, v: np.ndarray,
                 pattern: Pattern) -> Float[np.ndarray, "points 3"]:
    """Clouds of all sizes that meet again behind: they run into each other, or have sharp edges."""
    rng = np.random.default_rng(int(pattern.phase * 2**31))
    fields = np.zeros((2, len(u)), np.float32)
    for octave in range(4):
        for field in fields:
            for _ in range(3):
                around = int(rng.integers(-2, 3)) * 2**octave
                along, phase = rng.uniform(0.7, 2) * 2**octave, rng.uniform(0, 2 * np.pi)
                field += np.sin(2 * np.pi * (around * u + along * v) + phase, dtype=np.float32) * (
                    0.65**octave)
    first, second = fields * np.float32(0.5)
    if pattern.kind == "camouflage":
        return colours[np.where(first > 0.3, 1, np.where(second > 0.3, 2, 0))]
    shares = 1 / (1 + np.exp(-3 * fields))
    mixed = colours[0] + shares[0][:, None] * (colours[1] - colours[0])
    return mixed + (0.8 * shares[1][:, None]) * (colours[2] - mixed)


def emblem_mask(number: int, x: Float[np.ndarray, "points"],
                y: Float[np.ndarray, "points"]) -> np.ndarray:
    """Which points lie on the chest's picture; x and y in [-1, 1] span it."""
    inside = (np.abs(x) < 1) & (np.abs(y) < 1)
    distance = x * x + y * y
    shape = {1: distance < 1, 2: np.abs(x) + np.abs(y) < 1, 3: (distance < 1) & (distance > 0.35),
             4: (np.abs(x) < 0.3) | (np.abs(y) < 0.3), 5: np.abs(y) < 0.42}[number]
    return inside & shape
