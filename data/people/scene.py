"""What changes between two pictures of a person: camera, light, background, occluder.

Everything is measured in the picture's height, so that a scene looks the same at every resolution.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Float32

from repose_jax.data.people.garments import sample_colour

BACKGROUNDS = ("plain", "wall", "street", "park")
OCCLUDERS = ("none", "post", "wall", "bush", "edge", "sign")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Camera:
    """A perspective camera that frames the person.

    Attributes:
      yaw: turn of the person, degrees; 0 faces the camera, 90 the picture's right.
      pitch: how far the camera looks down, degrees.
      roll: turn of the picture, degrees.
      distance: from the camera to the person, metres; infinity is weak perspective.
      fill: part of the picture's height that the person spans; above 1 cuts feet or head.
      shift: of the person's middle from the picture's, (right, down), in heights.
      stature: whether `fill` is of the upright person, in any pose, and `shift` of the hips: who
        crouches or lifts an arm is as large as before.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    distance: float = 5.0
    fill: float = 0.9
    shift: tuple[float, float] = (0.0, 0.0)
    stature: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Light:
    """A sun and a sky: direction to the sun on the screen (right, down, to the viewer; unit),
    strength of both, the sun's colour, and how dark the shadow on the ground is."""

    direction: tuple[float, float, float] = (0.3, -0.6, 0.74)
    sun: float = 0.6
    sky: float = 0.5
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    shadow: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Background:
    """A background: its kind (one of `BACKGROUNDS`) and the seed of what it shows."""

    kind: str = "plain"
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Occluder:
    """Something in front of the person: its kind (one of `OCCLUDERS`), the seed of its look."""

    kind: str = "none"
    seed: int = 0


def sample_camera(rng: np.random.Generator) -> Camera:
    """A camera at a person's or a surveillance camera's height, any yaw."""
    close = rng.random() < 0.08
    return Camera(
        yaw=float(rng.uniform(-180, 180)), pitch=float(rng.uniform(-6, 16)),
        roll=float(rng.normal(0, 1.5)), distance=float(rng.uniform(3.0, 9.0)),
        fill=float(rng.uniform(1.0, 1.25) if close else rng.uniform(0.82, 0.97)),
        shift=(float(rng.normal(0, 0.012)), float(rng.normal(0, 0.01) + 0.06 * close)))


def sample_light(rng: np.random.Generator) -> Light:
    """Light from above, from any side but behind."""
    direction = np.array((rng.uniform(-0.9, 0.9), rng.uniform(-1.0, -0.2), rng.uniform(0.35, 1.0)))
    direction /= np.linalg.norm(direction)
    warm = rng.uniform(-0.07, 0.07)
    sky = rng.uniform(0.38, 0.62)
    return Light(direction=tuple(direction.tolist()), sun=float(rng.uniform(0.95, 1.12) - sky),
                 sky=float(sky), colour=(1 + warm, 1.0, 1 - warm),
                 shadow=float(rng.uniform(0.15, 0.5)))


def sample_background(rng: np.random.Generator) -> Background:
    """Plain in a third of all views."""
    return Background(kind=str(rng.choice(BACKGROUNDS, p=(.3, .2, .32, .18))),
                      seed=int(rng.integers(2 ** 31)))


def sample_occluder(rng: np.random.Generator) -> Occluder:
    """None in five of six views."""
    kind = "none" if rng.random() < 5 / 6 else str(rng.choice(OCCLUDERS[1:]))
    return Occluder(kind=kind, seed=int(rng.integers(2 ** 31)))


def paint_background(background: Background, height: int, width: int) -> Float32[
        np.ndarray, "height width 3"]:
    """The background's colours in [0, 1]."""
    rng = np.random.default_rng(background.seed)
    y = ((np.arange(height) + 0.5) / height).astype(np.float32)
    x = ((np.arange(width) + 0.5 - width / 2) / height).astype(np.float32)
    canvas = _PAINTERS[background.kind](rng, x, y)
    return np.clip(canvas, 0.0, 1.0).astype(np.float32)


def _noise(rng, x, y, rows: int, columns: int) -> np.ndarray:
    """Smooth noise in [0, 1] on a grid over the picture of any resolution."""
    grid = rng.random((rows + 1, columns + 1), dtype=np.float32)
    def weights(at, cells):
        place = np.clip(at * cells, 0, cells - 1e-3)
        low = place.astype(int)
        part = place - low
        part = part * part * (3 - 2 * part)
        matrix = np.zeros((len(at), cells + 1), np.float32)
        matrix[np.arange(len(at)), low] = 1 - part
        matrix[np.arange(len(at)), low + 1] = part
        return matrix
    return weights(y, rows) @ grid @ weights(x + 0.5, columns).T


def _cover(at: np.ndarray, low: float, high: float) -> np.ndarray:
    # How much of each pixel lies between two edges: exact antialiasing of upright rectangles.
    pixel = abs(float(at[1] - at[0]))
    overlap = np.minimum(at + pixel / 2, high) - np.maximum(at - pixel / 2, low)
    return np.clip(overlap / pixel, 0, 1)


def _rectangle(canvas, x, y, left, right, top, bottom, colour, strength=1.0) -> None:
    columns, rows = _cover(x, left, right), _cover(y, top, bottom)
    inner_x, inner_y = np.flatnonzero(columns), np.flatnonzero(rows)
    if len(inner_x) == 0 or len(inner_y) == 0:
        return
    xs, ys = slice(inner_x[0], inner_x[-1] + 1), slice(inner_y[0], inner_y[-1] + 1)
    alpha = strength * (rows[ys, None] * columns[None, xs])[..., None].astype(np.float32)
    canvas[ys, xs] += alpha * (np.asarray(colour, np.float32) - canvas[ys, xs])


def _fill(x, y, colour) -> np.ndarray:
    return np.broadcast_to(np.asarray(colour, np.float32), (len(y), len(x), 3)).copy()


def _muted(rng, low=0.25, high=0.85) -> np.ndarray:
    grey = rng.uniform(low, high)
    return np.clip(grey + 0.18 * (np.array(sample_colour(rng, 0.0)) - 0.5), 0, 1)


def _paint_plain(rng, x, y):
    tone = rng.uniform(0.75, 0.97) if rng.random() < 0.6 else rng.uniform(0.2, 0.75)
    low, high = (np.clip(tone + rng.normal(0, 0.03, 3), 0, 1) for _ in range(2))
    canvas = low + (y[:, None, None] ** 2) * (high - low)
    glow = np.exp(-3 * (x[None, :] ** 2 + (y[:, None] - 0.45) ** 2))
    return (canvas * (0.88 + 0.12 * glow)[..., None]).astype(np.float32)


def _floor(canvas, rng, x, y, horizon):
    colour = _muted(rng, 0.3, 0.75)
    start = int(np.searchsorted(y, horizon))
    rows = y[start:, None]
    grain = _noise(rng, x, y, 14, 8)[start:]
    canvas[start:] = colour * (0.85 + 0.2 * (rows - horizon) + 0.14 * grain)[..., None]
    if rng.random() < 0.5:
        # Joints of paving: they run to a vanishing point above the horizon.
        depth = 0.25 / np.maximum(rows - horizon + 0.08, 0.02)
        across = x[None, :] * depth * rng.uniform(4, 9) + rng.random()
        lengthwise = depth * rng.uniform(3, 7)
        joints = (np.abs(across % 1 - 0.5) > 0.46) | (np.abs(lengthwise % 1 - 0.5) > 0.45)
        canvas[start:] *= np.where(joints, np.float32(0.82), np.float32(1))[..., None]


def _paint_wall(rng, x, y):
    wall = _muted(rng, 0.4, 0.9)
    canvas = _fill(x, y, wall)
    canvas *= (0.9 + 0.16 * _noise(rng, x, y, 5, 4))[..., None]
    if rng.random() < 0.45:
        size = rng.uniform(0.035, 0.08)
        row = np.floor(y / size)
        joint_y = np.abs(y / size % 1 - 0.5) > 0.42
        joint_x = np.abs((x[None, :] / (2 * size) + 0.5 * (row % 2)[:, None]) % 1 - 0.5) > 0.46
        tone = rng.choice((0.8, 1.15))
        canvas *= np.where(joint_y[:, None] | joint_x, np.float32(tone), np.float32(1))[..., None]
    _floor(canvas, rng, x, y, rng.uniform(0.78, 0.93))
    return canvas


def _paint_street(rng, x, y):
    canvas = _fill(x, y, _muted(rng, 0.4, 0.85))
    canvas *= (0.85 + 0.3 * _noise(rng, x, y, 6, 4))[..., None]
    for _ in range(int(rng.integers(3, 7))):
        left, top = rng.uniform(-0.5, 0.4), rng.uniform(-0.2, 0.6)
        width, height = rng.uniform(0.08, 0.35), rng.uniform(0.15, 0.7)
        colour = _muted(rng, 0.08, 0.9)
        _rectangle(canvas, x, y, left, left + width, top, top + height, colour)
        if rng.random() < 0.5:
            columns, rows = rng.integers(1, 4), rng.integers(1, 5)
            pane = np.clip(colour + rng.uniform(-0.3, 0.3), 0, 1)
            for r in range(rows):
                for c in range(columns):
                    x0, y0 = left + (c + 0.2) * width / columns, top + (r + 0.2) * height / rows
                    _rectangle(canvas, x, y, x0, x0 + 0.6 * width / columns, y0,
                               y0 + 0.6 * height / rows, pane)
    horizon = rng.uniform(0.55, 0.88)
    _floor(canvas, rng, x, y, horizon)
    for _ in range(int(rng.integers(1, 4))):
        # Cars, bins, other people's bags: things that stand on the ground behind the person.
        left, width, height = rng.uniform(-0.5, 0.4), rng.uniform(0.05, 0.3), rng.uniform(0.06, 0.3)
        foot = horizon + rng.uniform(0.0, 0.1)
        colour = np.array(sample_colour(rng, 0.3))
        _rectangle(canvas, x, y, left, left + width, foot - height, foot, colour)
        _rectangle(canvas, x, y, left + 0.1 * width, left + 0.9 * width, foot - 0.9 * height,
                   foot - 0.55 * height, np.clip(colour * 0.5 + 0.2, 0, 1))
    return canvas


def _paint_park(rng, x, y):
    sky, leaf = np.array((0.72, 0.82, 0.92)), np.array((0.25, 0.42, 0.18))
    leaf = np.clip(leaf * rng.uniform(0.6, 1.3) + rng.normal(0, 0.04, 3), 0, 1)
    canvas = _fill(x, y, sky * rng.uniform(0.8, 1.05))
    line = rng.uniform(0.05, 0.4)
    foliage = _noise(rng, x, y, 10, 6) + _noise(rng, x, y, 30, 16) * 0.6
    hedge = np.clip((y[:, None] - line) * 8 + foliage * 2 - 0.9, 0, 1)[..., None]
    canvas += hedge * (leaf * (0.55 + 0.6 * foliage)[..., None] - canvas)
    for _ in range(int(rng.integers(0, 4))):
        left = rng.uniform(-0.5, 0.5)
        _rectangle(canvas, x, y, left, left + rng.uniform(0.02, 0.06), -0.1, 0.8,
                   (0.25, 0.19, 0.14))
    if rng.random() < 0.6:
        _floor(canvas, rng, x, y, rng.uniform(0.65, 0.88))
    return canvas


_PAINTERS = {"plain": _paint_plain, "wall": _paint_wall, "street": _paint_street,
             "park": _paint_park}


def paint_occluder(occluder: Occluder, height: int, width: int) -> tuple[
        Bool[np.ndarray, "height width"], Float[np.ndarray, "height width 3"]] | None:
    """Which samples the occluder hides and its colours in [0, 1]; None where there is none."""
    if occluder.kind == "none":
        return None
    rng = np.random.default_rng(occluder.seed)
    y = ((np.arange(height) + 0.5) / height).astype(np.float32)[:, None]
    x = ((np.arange(width) + 0.5 - width / 2) / height).astype(np.float32)[None, :]
    half = width / height / 2
    colour = np.array(sample_colour(rng, 0.5), np.float32)
    shade = np.ones((height, width), np.float32)
    if occluder.kind == "post":
        middle, thick = rng.uniform(-0.6, 0.6) * half, rng.uniform(0.012, 0.035)
        across = (x - middle - rng.normal(0, 0.02) * (y - 0.5)) / thick
        mask, shade = np.abs(across) < 1, np.sqrt(np.maximum(1 - (across * 0.8 + 0.2) ** 2, 0.1))
        mask &= y > (rng.uniform(0.1, 0.4) if rng.random() < 0.4 else -1)
    elif occluder.kind == "wall":
        top, slant = rng.uniform(0.62, 0.86), rng.normal(0, 0.06)
        depth = y - top - slant * x
        mask, shade = depth > 0, np.where(depth < 0.02, 1.2, 0.85 + 0.2 * _noise(
            rng, x[0], y[:, 0], 8, 6))
    elif occluder.kind == "bush":
        colour = np.array((0.2, 0.36, 0.14), np.float32) * np.float32(rng.uniform(0.6, 1.4))
        place, size = rng.uniform(-1, 1) * half, rng.uniform(0.14, 0.3)
        leaves = _noise(rng, x[0], y[:, 0], 24, 14)
        gap = np.sqrt((x - place) ** 2 + ((y - 1.0) / 1.1) ** 2)
        mask, shade = gap < size * (0.75 + 0.5 * leaves), 0.5 + 0.8 * leaves
    elif occluder.kind == "edge":
        # Another passer-by or a door frame cuts into the picture from one side.
        side = rng.choice((-1.0, 1.0))
        reach = half * (1 - rng.uniform(0.2, 0.55))
        swell = 0.02 * np.sin(y * rng.uniform(4, 9) + rng.uniform(0, 6))
        mask, shade = side * x > reach + swell, 0.8 + 0.3 * _noise(rng, x[0], y[:, 0], 12, 6)
    else:
        cx, cy = rng.uniform(-0.7, 0.7) * half, rng.uniform(0.2, 0.8)
        radius = rng.uniform(0.05, 0.11)
        gap = np.sqrt((x - cx) ** 2 + (y - cy) ** 2) / radius
        stick = (np.abs(x - cx) < 0.008) & (y > cy)
        mask, shade = (gap < 1) | stick, np.where((gap < 1) & (gap > 0.8), 0.5, 1.0)
    mask, shade = np.broadcast_to(mask, (height, width)), np.broadcast_to(shade, (height, width))
    return mask, np.clip(colour * shade[..., None], 0, 1).astype(np.float32)
