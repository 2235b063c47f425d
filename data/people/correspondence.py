"""Where each point of a rendered person is in another picture of the same person: the true flow.

A point of a cone's surface is the same point in every view: the same part of the way along the axis,
the same angle around it; a point of a mesh lies in the same triangle. What the renderer knows
exactly, an alignment can be judged by, and taught.
"""

from __future__ import annotations

import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.data.pairs.source import TrueFlow
from repose_jax.data.people.appearance import show
from repose_jax.data.people.rasterise import interpolated
from repose_jax.data.people.raycast import NOTHING, Cones
from repose_jax.data.people.scene import paint_occluder
from repose_jax.data.people.standing import mount, photo_window, stand
from repose_jax.data.people.view import Identity, View

# How far a point may lie behind what a pixel shows and count as shown, in heights: a pixel's slope.
_BEHIND = 0.015


def correspondence(identity: Identity, source: View, target: View,
                   size: tuple[int, int]) -> TrueFlow:
    """Follows every point of the body that the target shows into the source.

    Args:
      identity: the person in both.
      source, target: how the pictures show them.
      size: (height, width) in pixels.

    Raises:
      UserError: the size cannot be rendered.
    """
    inner = photo_window(target, size)
    height, width = inner.size
    if photo_window(source, size) != inner:
        raise UserError("correspondence", "is between photos of two aspects",
                        "give views that are framed alike")
    here, there = (stand(identity, view, height, width) for view in (target, source))
    if len(here.cones.start) != len(there.cones.start):  # the clothes decide the cones, never the pose
        raise UserError("correspondence", "has two figures with different parts", "report it")
    shown = show(here.cones, here.worn, height, width)
    ids = _uncovered(shown.ids, target, (height, width)).ravel()
    of_cone = np.flatnonzero((ids != NOTHING) & (ids < len(here.cones.start)))
    y, x = np.divmod(of_cone, width)
    points = np.stack([x, y, shown.depth.ravel()[of_cone]], axis=1).astype(np.float64)
    at, place = [of_cone], [_carried(points, ids[of_cone].astype(np.intp), here.cones, there.cones)]
    if shown.fragments is not None:
        open_ = ids[shown.fragments.at] != NOTHING
        triangles = there.worn.layers.triangles[shown.fragments.triangle[open_]]
        at.append(shown.fragments.at[open_])
        place.append(interpolated(shown.fragments.shares[open_],
                                  [there.worn.points[corner] for corner in triangles.T]))
    (y, x), place = np.divmod(np.concatenate(at), width), np.concatenate(place)

    shown = show(there.cones, there.worn, height, width)
    hidden = _uncovered(shown.ids, source, (height, width)) == NOTHING
    depth = np.where(hidden, np.float32(np.inf), shown.depth)
    column, row = (np.rint(place[:, axis]).astype(int) for axis in (0, 1))
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    nearest = depth[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    flow, seen, body = (np.zeros((height, width, 2), np.float32), np.zeros((height, width), bool),
                        np.zeros((height, width), bool))
    flow[y, x] = place[:, :2] - np.stack([x, y], axis=1)
    seen[y, x] = inside & (place[:, 2] > nearest - _BEHIND * height)
    body[y, x] = True
    return TrueFlow(*(mount(values, inner, size, 0) for values in (flow, seen, body)))


def _uncovered(ids: np.ndarray, view: View, size: tuple[int, int]) -> np.ndarray:
    """The cones' numbers without those that the view's occluder hides."""
    occluder = paint_occluder(view.occluder, *size)
    return ids if occluder is None else np.where(occluder[0], np.int16(NOTHING), ids)


def _carried(points: np.ndarray, cone: np.ndarray, here: Cones, there: Cones) -> np.ndarray:
    """Points [n, 3] on cones of one screen, on the same cones of the other."""
    local = np.einsum("nij,nj->ni", here.axes[cone], points - here.start[cone])
    part = local[:, 1:2] / here.length[cone, None]
    # How thick the cone is there: beyond its ends as at them.
    share = np.clip(part, 0, 1)
    thick, thick_there = (radii[cone, :1] + share * (radii[cone, 1:] - radii[cone, :1])
                          for radii in (here.radii, there.radii))
    grown = thick_there / thick
    along = (share * there.length[cone, None]
             + (part - share) * here.length[cone, None] * grown)
    moved = np.concatenate([local[:, :1] * grown, along, local[:, 2:] * grown], axis=1)
    return there.start[cone] + np.linalg.solve(there.axes[cone], moved[..., None])[..., 0]
