"""Colour of the torso: does the painted person wear the source's clothes?

The number of a model is the Pearson correlation over pictures between the source's torso colour,
read at the source pose, and the output's, read at the target pose. It sees no texture, no
shape and no pose: a copy of the source scores about .94 on Market-1501, two real photos of one
person .72, for the light differs between cameras. Report it beside the metrics that see the rest.

Two regions, since the choice moves the number: "quadrilateral", the convex hull of both shoulders
and hips shrunk towards its centre (little background), and "box", their upright bounding box (more
pixels, some background, so a higher correlation between two pictures of one scene).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.lab_color import color_difference
from repose_jax.evaluation.metrics.metric import Facts, MetricFamily, Score
from repose_jax.evaluation.metrics.picture_batch import PictureBatch, Which
from repose_jax.evaluation.statistics.statistic import Correlation
from repose_jax.pose.skeleton import Skeleton

Region = Literal["quadrilateral", "box"]

SHRINK = 0.6
MIN_PIXELS = 4
_TRIANGLES = ((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3))
_PIXELS_AT_ONCE = 1 << 21


class TorsoCorrelation(NamedTuple):
    """Pearson correlation of torso colours.

    Attributes:
      mean: over the three channels; NaN if a channel does not vary or fewer than 3 are valid.
      channels: [3], red, green, blue.
      count: how many pictures were valid.
    """

    mean: float
    channels: Float[np.ndarray, "3"]
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody calls


def _in_hull(corners: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which pixel centres lie in the convex hull of four points, [N, H, W]; corners [N, 4, 2].

    The hull is the union of the four triangles, whatever the order of the points: noisy
    annotations cross the sides of a torso seen from the side.
    """
    px, py = corners[..., 0, None, None], corners[..., 1, None, None]
    side = {(p, q): (px[:, q] - px[:, p]) * (y - py[:, p]) - (py[:, q] - py[:, p]) * (x - px[:, p])
            for p in range(4) for q in range(p + 1, 4)}
    inside = np.zeros((len(corners), y.shape[1], x.shape[2]), bool)
    for p, q, r in _TRIANGLES:
        u, v = corners[:, q] - corners[:, p], corners[:, r] - corners[:, p]
        # Without area, every point of the line would count as inside.
        solid = np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) > 1e-9
        first, second, third = side[p, q], side[q, r], -side[p, r]
        within = (((first >= 0) & (second >= 0) & (third >= 0))
                  | ((first <= 0) & (second <= 0) & (third <= 0)))
        inside |= solid[:, None, None] & within
    return inside


def torso_mask(
    poses: Float[np.ndarray, "n joints 3"],
    skeleton: Skeleton,
    size: tuple[int, int],
    *,
    region: Region = "quadrilateral",
    shrink: float = SHRINK,
) -> Bool[np.ndarray, "n height width"]:
    """The pixels whose centre lies in the torso; none where one of its four joints is unknown.

    Args:
      poses: x and y in pixels of pictures of `size`, visibility.
      skeleton: says which joints are shoulders and hips.
      size: (height, width).
      region: see the module's header.
      shrink: factor on the quadrilateral's distance from its centre; the box is not shrunk.
    """
    torso = np.asarray(poses, np.float64)[:, skeleton.torso_indices]
    known = np.all(torso[..., 2] > 0, axis=1)
    corners = torso[..., :2]
    y, x = np.arange(size[0])[None, :, None], np.arange(size[1])[None, None, :]
    if region == "box":
        low, high = corners.min(1)[:, :, None, None], corners.max(1)[:, :, None, None]
        inside = ((x >= low[:, 0]) & (x <= high[:, 0])) & ((y >= low[:, 1]) & (y <= high[:, 1]))
    elif region == "quadrilateral":
        centre = corners.mean(1, keepdims=True)
        inside = _in_hull(centre + shrink * (corners - centre), x, y)
    else:
        raise ValueError(f"unknown region {region!r}")
    return inside & known[:, None, None]


def torso_color(
    images: Float[np.ndarray, "n height width 3"],
    poses: Float[np.ndarray, "n joints 3"],
    skeleton: Skeleton,
    *,
    region: Region = "quadrilateral",
    shrink: float = SHRINK,
) -> tuple[Float[np.ndarray, "n 3"], Bool[np.ndarray, "n"]]:
    """Mean colour of the torso of each picture.

    Args:
      images: in [0, 1].
      poses: in pixels of these pictures.
      skeleton: of the poses.
      region, shrink: see `torso_mask`.

    Returns:
      The mean RGB, float64 [N, 3] (0 where not valid), and whether all four joints are known and
      the region holds at least `MIN_PIXELS` pixels.
    """
    if images.shape[:1] != poses.shape[:1]:
        raise ValueError(f"{len(images)} pictures with {len(poses)} poses")
    size = images.shape[1:3]
    step = max(1, _PIXELS_AT_ONCE // (size[0] * size[1]))
    sums, counts = np.zeros((len(images), 3)), np.zeros(len(images), np.int64)
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        mask = torso_mask(poses[part], skeleton, size, region=region, shrink=shrink)
        counts[part] = mask.sum((1, 2))
        sums[part] = np.einsum("nhw,nhwc->nc", mask, images[part], dtype=np.float64)
    valid = counts >= MIN_PIXELS
    return np.where(valid[:, None], sums / np.maximum(counts, 1)[:, None], 0.0), valid


def torso_correlation(
    a: Float[np.ndarray, "n 3"],
    b: Float[np.ndarray, "n 3"],
    valid: Bool[np.ndarray, "n"],
) -> TorsoCorrelation:
    """Pearson correlation over pictures, of each channel and averaged over the channels."""
    a, b = np.asarray(a, np.float64)[valid], np.asarray(b, np.float64)[valid]
    if len(a) < 3:
        return TorsoCorrelation(float("nan"), np.full(3, np.nan), len(a))
    a, b = a - a.mean(0), b - b.mean(0)
    spread = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    channels = np.where(spread > 1e-12, (a * b).sum(0) / np.maximum(spread, 1e-12), np.nan)
    return TorsoCorrelation(float(channels.mean()), channels, len(a))


def colors_of(
    batch: PictureBatch, which: Which, region: Region = "quadrilateral"
) -> Float[np.ndarray, "batch 3"]:
    """The torso's mean colour in a batch's pictures; NaN where it cannot be read."""

    def read() -> np.ndarray:
        color, valid = torso_color(batch.unit(which), batch.pose(which), batch.skeleton,
                                   region=region)
        return np.where(valid[:, None], color, np.nan)

    return batch.once(("torso", which, region), read)


def _beside_source(which: Which, region: Region, batch: PictureBatch) -> np.ndarray:
    return np.concatenate([colors_of(batch, "source", region), colors_of(batch, which, region)], 1)


def _scores(by: Instruments) -> Iterator[Score]:
    regions: tuple[tuple[str, Region], ...] = (("torso", "quadrilateral"), ("torso_box", "box"))
    pictures: tuple[tuple[str, Which], ...] = (("", "generated"), ("_real", "target"))
    for label, region in regions:
        for end, which in pictures:
            yield Score(f"{label}_correlation{end}",
                        functools.partial(_beside_source, which, region), Correlation(),
                        unmeasured="pairs without a visible torso")
    yield Score("color", lambda batch: color_difference(
        colors_of(batch, "source"), colors_of(batch, "generated")), beside="source")


METRIC = MetricFamily("colour", {
    "torso_correlation": Facts("torso colour", "higher", 3),
    "torso_correlation_real": Facts("torso colour, real target", "neither", 3),
    "torso_box_correlation": Facts("torso colour, box", "higher", 3),
    "torso_box_correlation_real": Facts("torso colour, box, real target", "neither", 3),
    "color": Facts("torso colour's difference (Delta E)", "lower", 1)}, _scores)
