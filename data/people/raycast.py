"""Round cones, cast by parallel rays into a depth buffer.

A round cone is the convex hull of two spheres, here also squeezed across its axis. Coordinates are
samples: x right, y down, z towards the viewer. In a cone's own axes (side, along, front; side and
front divided by the squeeze) with the first sphere at the origin, b = (r1 - r2) / h and
a^2 = 1 - b^2, its mantle is a^2 (x^2 + z^2) = (r1 - b y)^2 for b r1 <= y <= b r1 + a^2 h; a ray is
a line in these axes too, so that every hit is the root of a quadratic.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Float32, Int16

NOTHING = -1
_EMPTY = np.float32(-1e9)


@dataclasses.dataclass(frozen=True)
class Cones:
    """Round cones on the screen.

    Attributes:
      start: centre of the first sphere, [cones, 3].
      axes: maps an offset from `start` to the cone's own axes, [cones, 3, 3].
      length: distance between the centres, [cones].
      radii: of the two spheres, [cones, 2].
      slope: (r1 - r2) / length, [cones].
      low, high: corners of the bounding box on the screen, [cones, 2].
      cut: whether the cone is an open sleeve: a mantle without spheres, [cones] bool.
    """

    start: np.ndarray
    axes: np.ndarray
    length: np.ndarray
    radii: np.ndarray
    slope: np.ndarray
    low: np.ndarray
    high: np.ndarray
    cut: np.ndarray


def make_cones(start: Float[np.ndarray, "cones 3"], end: Float[np.ndarray, "cones 3"],
               radii: Float[np.ndarray, "cones 2"], front: Float[np.ndarray, "cones 3"],
               squeeze: Float[np.ndarray, "cones 2"], cut: np.ndarray) -> Cones:
    """Builds cones from the centres of their spheres.

    Args:
      start, end: centres, in samples.
      radii: radii, in samples.
      front: a direction that is not the axis; where a texture's angle is zero.
      squeeze: factors of the radius to the side and to the front.
      cut: [cones] bool, see `Cones`.
    """
    along = end - start
    length = np.maximum(np.linalg.norm(along, axis=1), 1e-6)
    along = along / length[:, None]
    front = front - (front * along).sum(1, keepdims=True) * along
    front /= np.maximum(np.linalg.norm(front, axis=1, keepdims=True), 1e-6)
    side = np.cross(along, front)
    axes = np.stack([side / squeeze[:, :1], along, front / squeeze[:, 1:]], axis=1)
    # A sphere inside the other has no mantle: keep the slope short of that.
    slope = np.clip((radii[:, 0] - radii[:, 1]) / length, -0.98, 0.98)
    # Half the extent of a squeezed sphere along x and y: the norm of the inverse axes' rows.
    inverse = np.stack([side * squeeze[:, :1], along, front * squeeze[:, 1:]], axis=1)
    reach = np.sqrt((inverse[:, :, :2] ** 2).sum(axis=1))
    ends = np.stack([start[:, :2], end[:, :2]], axis=1)
    extent = radii[:, :, None] * reach[:, None, :]
    return Cones(start, axes, length, radii, slope, (ends - extent).min(1), (ends + extent).max(1),
                 np.asarray(cut, bool))


def cast(cones: Cones, height: int, width: int) -> tuple[
        Float32[np.ndarray, "height width"], Int16[np.ndarray, "height width"]]:
    """Finds the nearest cone of every sample.

    Returns:
      z of the surface and the cone's number; where there is none, a very small z and `NOTHING`.
    """
    depth = np.full((height, width), _EMPTY, np.float32)
    ids = np.full((height, width), NOTHING, np.int16)
    low = np.clip(np.ceil(cones.low), 0, (width, height)).astype(int)
    high = np.clip(np.floor(cones.high) + 1, 0, (width, height)).astype(int)
    numbers = np.flatnonzero((low < high).all(axis=1))
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    # A ray that misses has no root: NaN, which loses every comparison.
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for i in numbers.tolist():
            (x0, y0), (x1, y1) = low[i].tolist(), high[i].tolist()
            z = _nearest_hit(cones, i, columns[x0:x1], rows[y0:y1, None])
            box = depth[y0:y1, x0:x1]
            closer = z > box
            np.copyto(box, z, where=closer)
            np.copyto(ids[y0:y1, x0:x1], np.int16(i), where=closer)
    return depth, ids


def _nearest_hit(cones: Cones, i: int, x, y):
    start, axes = cones.start[i].tolist(), cones.axes[i].tolist()
    (r1, r2), h, b = cones.radii[i].tolist(), float(cones.length[i]), float(cones.slope[i])
    x, y = x - np.float32(start[0]), y - np.float32(start[1])
    (sx, sy, sz), (ax, ay, az), (fx, fy, fz) = axes
    side, along, front = sx * x + sy * y, ax * x + ay * y, fx * x + fy * y
    across = side * side + front * front

    a2 = 1.0 - b * b
    top, bottom = (0.0, h) if cones.cut[i] else (b * r1, b * r1 + a2 * h)
    # Mantle: A t^2 + 2 B t + C = 0.
    A = a2 * (sz * sz + fz * fz) - b * b * az * az
    B = (a2 * (sx * sz + fx * fz) - b * b * ax * az) * x + (
        (a2 * (sy * sz + fy * fz) - b * b * ay * az) * y + b * az * r1)
    rest = r1 - b * along
    root = np.sqrt(B * B - A * (a2 * across - rest * rest))
    best = (root - B) / A
    at = along + az * best
    best[(at < top) | (at > bottom)] = np.nan
    if A <= 0 or cones.cut[i]:
        # Seen nearly along the axis, or into an open sleeve: the other wall may be what shows.
        other = (-root - B) / A
        at = along + az * other
        other[(at < top) | (at > bottom)] = np.nan
        best = np.fmax(best, other)
    if not cones.cut[i]:
        A = sz * sz + az * az + fz * fz
        B = (sx * sz + ax * az + fx * fz) * x + (sy * sz + ay * az + fy * fz) * y
        C = across + along * along
        best = np.fmax(best, (np.sqrt(B * B - A * (C - r1 * r1)) - B) / A)
        B = B - h * az
        C = C - (2 * h) * along
        best = np.fmax(best, (np.sqrt(B * B - A * (C + (h * h - r2 * r2))) - B) / A)
    return best + np.float32(start[2])


@dataclasses.dataclass(frozen=True)
class Hits:
    """Where rays meet the surface.

    Attributes:
      cone: number of the cone, [hits].
      normal: unit normal on the screen, [hits, 3] (y down, z to the viewer).
      along: position along the axis, 0 at the first centre and 1 at the second, [hits].
      angle: angle around the axis from the front, radians, [hits].
    """

    cone: np.ndarray
    normal: np.ndarray
    along: np.ndarray
    angle: np.ndarray


def locate(cones: Cones, cone: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> Hits:
    """Surface coordinates and normals of points [hits] that `cast` has found."""
    axes = cones.axes.astype(np.float32)[cone]
    offset = np.stack([x, y, z], axis=1) - cones.start.astype(np.float32)[cone]
    local = np.einsum("nij,nj->ni", axes, offset)
    h, b = cones.length.astype(np.float32)[cone], cones.slope.astype(np.float32)[cone]
    across = np.sqrt(local[:, 0] ** 2 + local[:, 2] ** 2)
    # The normal starts from the axis; on the spheres from their centres.
    foot = np.clip(local[:, 1] - across * b / np.sqrt(1 - b * b), 0, h)
    along, angle = local[:, 1] / h, np.arctan2(local[:, 0], local[:, 2])
    local[:, 1] -= foot
    normal = np.einsum("nij,ni->nj", axes, local)
    normal /= np.sqrt((normal ** 2).sum(1, keepdims=True)) + np.float32(1e-9)
    # The inside of a sleeve is seen from behind.
    normal *= np.where(normal[:, 2:] < 0, np.float32(-1), np.float32(1))
    return Hits(cone, normal, along, angle)
