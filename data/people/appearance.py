"""What of a standing person shows at each sample of the screen, before light falls on it."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from repose_jax.data.people.cloth import crease, is_cloth
from repose_jax.data.people.figure import Figure
from repose_jax.data.people.garments import Outfit
from repose_jax.data.people.raycast import NOTHING, Cones, cast, locate
from repose_jax.data.people.rasterise import Fragments, interpolated, normals, rasterise
from repose_jax.data.people.surface import colour_material, surface_place
from repose_jax.data.people.wardrobe import PARTS, Layers


class Worn(NamedTuple):
    """Layers of a mesh on the screen: as cut, and where their points are, [points, 3]."""

    layers: Layers
    points: np.ndarray


@dataclasses.dataclass(frozen=True)
class Shown:
    """Samples of a person.

    Attributes:
      depth: z of the nearest surface, [height, width]; very small where there is none.
      ids: number of the cone, beyond the cones of the part of the mesh (see `wardrobe.PARTS`),
        `NOTHING` where there is none, [height, width].
      fragments: of the mesh, those that cones hide left out; None for a person of cones alone.
    """

    depth: np.ndarray
    ids: np.ndarray
    fragments: Fragments | None


def show(cones: Cones, worn: Worn | None, height: int, width: int) -> Shown:
    """Finds the nearest surface of every sample."""
    depth, ids = cast(cones, height, width)
    if worn is None:
        return Shown(depth, ids, None)
    # Into a sleeve one sees from its end.
    found = rasterise(worn.points, worn.layers.triangles, worn.layers.keep,
                      is_cloth(worn.layers.material), height, width)
    nearer = found.depth > depth.ravel()[found.at]
    found = Fragments(*(getattr(found, field.name)[nearer] for field in dataclasses.fields(found)))
    depth.ravel()[found.at] = found.depth
    ids.ravel()[found.at] = len(cones.start) + worn.layers.part[found.triangle]
    return Shown(depth, ids, found)


def clothed_joints(figure: Figure, worn: Worn | None) -> tuple[tuple[str, ...], ...]:
    """The joints that each of `Shown.ids` clothes."""
    return figure.joints + (() if worn is None else tuple(PARTS.values()))


def painted(shown: Shown, figure: Figure, cones: Cones, worn: Worn | None, outfit: Outfit, neck: float,
            creases: int) -> tuple[np.ndarray, Float[np.ndarray, "samples 3"],
                                 Float[np.ndarray, "samples 3"], np.ndarray]:
    """Colours, unit normals and materials of the samples that show the person.

    Args:
      shown: what `show` found.
      figure, cones, worn: the person in space and on the screen.
      outfit: colours and patterns.
      neck: v of the trunk at the base of the neck, metres.
      creases: seed of the folds, 0 for none.

    Returns:
      The samples' numbers and three rows for each.
    """
    samples = _of_cones(shown, figure, cones)
    if shown.fragments is not None:
        mesh = _of_mesh(shown.fragments, worn, creases > 0)
        samples = _Samples(*(np.concatenate(pair) for pair in zip(samples, mesh)))
    at, material, u, v, angle, normal, axis, tint = samples
    colours = colour_material(outfit, material, u, v, angle, neck) * tint
    if creases:
        normal, shade = crease(normal, axis, material, u, v, creases)
        colours = colours * shade[:, None]
    return at, colours, normal, material


class _Samples(NamedTuple):
    """Samples of surfaces: their numbers, materials, places and angles on them, unit normals,
    directions in which v grows, factors of their colours; a row each."""

    at: np.ndarray
    material: np.ndarray
    u: np.ndarray
    v: np.ndarray
    angle: np.ndarray
    normal: np.ndarray
    axis: np.ndarray
    tint: np.ndarray


def _of_cones(shown: Shown, figure: Figure, cones: Cones) -> _Samples:
    width, ids = shown.ids.shape[1], shown.ids.ravel()
    at = np.flatnonzero((ids != NOTHING) & (ids < len(cones.start)))
    y, x = np.divmod(at, width)
    hits = locate(cones, ids[at], x.astype(np.float32), y.astype(np.float32), shown.depth.ravel()[at])
    return _Samples(at, figure.material[hits.cone], *surface_place(figure, hits), hits.angle,
                    hits.normal, cones.axes.astype(np.float32)[hits.cone, 1],
                    np.ones((len(at), 3), np.float32))


def _of_mesh(found: Fragments, worn: Worn, creased: bool) -> _Samples:
    layers, triangles = worn.layers, worn.layers.triangles[found.triangle]
    u, v = interpolated(found.shares, layers.place.transpose(1, 0, 2)[:, found.triangle]).T
    upright = worn.points * (1, -1, 1)
    outward = (normals(upright, layers.triangles) * (1, -1, 1)).astype(np.float32)
    normal = interpolated(found.shares, [outward[corner] for corner in triangles.T])
    # `np.linalg.norm` is slow over a short axis.
    normal /= np.sqrt((normal**2) @ np.ones(3, np.float32))[:, None] + 1e-9
    normal[:, 2] = np.abs(normal[:, 2])
    axis = _down(worn.points, layers, found.triangle) if creased else np.zeros_like(normal)
    return _Samples(found.at, layers.material[found.triangle], u, v, u, normal, axis,
                    interpolated(found.shares, [layers.tint[corner] for corner in triangles.T]))


def _down(points, layers, triangle):
    """Unit directions on the screen in which v grows, of triangles; many are asked for often."""
    asked = np.zeros(len(layers.triangles), bool)
    asked[triangle] = True
    some = np.flatnonzero(asked)
    corners, place = points[layers.triangles[some]], layers.place[some]
    edges, by = corners[:, 1:] - corners[:, :1], place[:, 1:] - place[:, :1]
    # v is linear over the triangle: of the two edges the mixture along which u stays and v grows.
    along = by[:, 1, :1] * edges[:, 0] - by[:, 0, :1] * edges[:, 1]
    growth = by[:, 1, 0] * by[:, 0, 1] - by[:, 0, 0] * by[:, 1, 1]
    along = along * np.sign(growth)[:, None]
    found = np.empty((len(asked), 3), np.float32)
    found[some] = along / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-12)
    return found[triangle]
