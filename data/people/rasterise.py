"""Triangles before a viewer at infinity, into a depth buffer."""

from __future__ import annotations

import dataclasses

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
    flat = points.astype(np.float32)
    area = _cross(*(flat[triangles[:, corner]] for corner in range(3)))
    facing = (area < 0) | (both_sides & (area > 0))
    facing[facing] = (keep[triangles[facing]] >= 0).any(1)
    seen = np.flatnonzero(facing)
    corners = flat[triangles[seen]]
    low = np.ceil(corners[..., :2].min(1)).clip(0).astype(np.int32)
    high = np.minimum(np.floor(corners[..., :2].max(1)), (width - 1, height - 1)).astype(np.int32)
    size = (high - low + 1).clip(0)
    count = size[:, 0] * size[:, 1]
    # Every sample of every bounding box, one after the other.
    box = np.repeat(np.arange(len(seen)), count)
    step = np.arange(len(box), dtype=np.int32) - np.repeat(np.cumsum(count) - count, count)
    down, across = np.divmod(step, size[box, 0])
    x, y = low[box, 0] + across, low[box, 1] + down
    # The shares of the corners are linear on the screen: a slope along x, one along y, a start.
    a, b, c = (corners[:, corner, :2] for corner in range(3))
    whole = _cross(a, b, c)
    shares = np.empty((3, len(box)), np.float32)
    for share, (p, q) in zip(shares, ((b, c), (c, a), (a, b))):
        slope = np.stack([p[:, 1] - q[:, 1], q[:, 0] - p[:, 0]], 1) / whole[:, None]
        # From the corner of the box, so that no digit is lost in far pictures.
        start = ((low - p) * slope).sum(1)
        np.add(start[box] + slope[box, 0] * across, slope[box, 1] * down, out=share)
    inside = np.flatnonzero(shares.min(0) >= _EDGE)
    box, shares, at = box[inside], shares[:, inside].T, (y * width + x)[inside]
    triangle = seen[box]
    inside = (keep.astype(np.float32)[triangles[triangle]] * shares).sum(1) >= 0
    box, triangle, shares, at = box[inside], triangle[inside], shares[inside], at[inside]
    depth = (corners[box, :, 2] * shares).sum(1)
    # The last one of a sample is the nearest.
    order = np.lexsort((depth, at))
    order = order[np.append(np.diff(at[order]) > 0, True)[:len(order)]]
    return Fragments(at[order], triangle[order], shares[order], depth[order])


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
