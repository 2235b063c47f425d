"""Triangles before a viewer at infinity, into a depth buffer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

_EDGE = -1e-6


@dataclasses.dataclass(frozen=True)
class Fragments:
    """What shows of triangles: one row a sample, each sample at most once.

    Attributes:
      at: number of the sample, row times width plus column, [fragments].
      triangle: which one shows, [fragments].
      shares: how near to each of its corners, in sum 1, [fragments, 3].
      depth: z of the surface, [fragments].
    """

    at: Int[np.ndarray, "fragments"]
    triangle: Int[np.ndarray, "fragments"]
    shares: Float[np.ndarray, "fragments 3"]
    depth: Float[np.ndarray, "fragments"]


def rasterise(points: Float[np.ndarray, "points 3"], triangles: Int[np.ndarray, "triangles 3"],
              keep: Float[np.ndarray, "points"], both_sides: Bool[np.ndarray, "triangles"], height: int,
              width: int) -> Fragments:
    """Finds the nearest triangle of every sample.

    Args:
      points: in samples, x right, y down, z towards the viewer.
      triangles: numbers of points, counter-clockwise from outside.
      keep: a triangle is there where this, interpolated between its corners, is not negative.
      both_sides: whether a triangle is seen from inside, too.
      height, width: of the picture in samples.
    """
    flat, keep = points.astype(np.float32), keep.astype(np.float32)
    area = _cross(*(flat[triangles[:, corner]] for corner in range(3)))
    facing = (area < 0) | (both_sides & (area > 0))
    kept = keep[triangles].T
    seen = np.flatnonzero(facing & (_over(np.maximum, kept) >= 0))
    corners, kept = flat[triangles[seen]].transpose(1, 0, 2), kept[:, seen]
    cut = _over(np.minimum, kept) < 0
    low = np.ceil(_over(np.minimum, corners)[:, :2]).clip(0).astype(np.int32)
    high = np.floor(_over(np.maximum, corners)[:, :2])
    high = np.minimum(high, (width - 1, height - 1)).astype(np.int32)
    size = (high - low + 1).clip(0)
    count = size[:, 0] * size[:, 1]
    # Every sample of every bounding box, one after the other.
    box = np.repeat(np.arange(len(seen)), count)
    before = (np.cumsum(count) - count).astype(np.int32)
    step = np.arange(len(box), dtype=np.int32) - np.repeat(before, count)
    wide = np.repeat(size[:, 0], count)
    down = step // wide
    across = step - down * wide
    # The shares of the corners are linear on the screen: a slope along x, one along y, a start.
    a, b, c = corners[..., :2]
    whole = _cross(a, b, c)
    shares = np.empty((3, len(box)), np.float32)
    for share, (p, q) in zip(shares, ((b, c), (c, a), (a, b))):
        slope = np.stack([p[:, 1] - q[:, 1], q[:, 0] - p[:, 0]], 1) / whole[:, None]
        # From the corner of the box, so that no digit is lost in far pictures.
        start = ((low - p) * slope).sum(1)
        first, right, below = (np.repeat(x, count) for x in (start, *slope.T))
        np.add(first + right * across, below * down, out=share)
    inside = np.flatnonzero(_over(np.minimum, shares) >= _EDGE)
    box, shares = box[inside], shares[:, inside]
    at = (low[:, 1] * width + low[:, 0])[box] + down[inside] * width + across[inside]
    there = ~cut[box]
    doubtful = np.flatnonzero(~there)
    there[doubtful] = (kept[:, box[doubtful]] * shares[:, doubtful]).sum(0) >= 0
    box, shares, at = box[there], shares[:, there], at[there]
    depth = sum(z[box] * share for z, share in zip(corners[..., 2].copy(), shares))
    nearest = np.full(height * width, -np.inf, np.float32)
    np.maximum.at(nearest, at, depth)
    shown = np.flatnonzero(depth == nearest[at])
    last = np.full(height * width, -1)
    last[at[shown]] = shown  # of equally near ones the last
    at = np.flatnonzero(last >= 0)
    shown = last[at]
    return Fragments(at, seen[box[shown]], shares[:, shown].T, depth[shown])


def interpolated(
    shares: Float[np.ndarray, "fragments 3"], corners: Sequence[Float[np.ndarray, "fragments c"]]
) -> Float[np.ndarray, "fragments c"]:
    """Values between a triangle's three corners.

    Args:
      shares: see `Fragments`.
      corners: the values at each of the three.
    """
    return sum(share[:, None] * corner for share, corner in zip(shares.T, corners, strict=True))


def _over(choose, corners):
    """The least or greatest over a short first axis, which NumPy's own reductions are slow at."""
    return choose(choose(corners[0], corners[1]), corners[2])


def _cross(a, b, c):
    """Twice the signed area of triangles on the screen."""
    return ((b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0]))


def normals(points: Float[np.ndarray, "points 3"], triangles: Int[np.ndarray, "triangles 3"]) -> Float[
        np.ndarray, "points 3"]:
    """Unit normals at the points: the mean of their triangles', by their areas."""
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    faces = np.cross(b - a, c - a)
    corners = triangles.T.ravel()
    found = np.stack([np.bincount(corners, np.tile(faces[:, axis], 3), len(points))
                      for axis in range(3)], 1)
    return found / (np.linalg.norm(found, axis=1, keepdims=True) + 1e-12)
