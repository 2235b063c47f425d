"""A person of MakeHuman's mesh, measured and dressed once for all views."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from repose_jax.data.people import makehuman
from repose_jax.data.people.rig import Rig
from repose_jax.data.people.view import Identity
from repose_jax.data.people.wardrobe import Layers, dressed


class Tailored(NamedTuple):
    """A shaped and dressed mesh: its bones, its layers and joints of the head before it is posed."""

    rig: Rig
    layers: Layers
    landmarks: dict[str, np.ndarray]


@functools.lru_cache(maxsize=8)
def tailored(identity: Identity) -> Tailored:
    """Shapes and dresses the mesh of a person whose `shape` is not None."""
    mesh, points = makehuman.mesh(), makehuman.shaped(dict(identity.shape))
    rig = Rig(mesh, points)
    return Tailored(rig, dressed(mesh, points, rig, identity.body, identity.outfit),
                    _landmarks(mesh, points, rig))


def _landmarks(mesh, points, rig) -> dict[str, np.ndarray]:
    """Joints of the face, a little under the skin."""
    x, y, z = (points - rig.origins["head"]).T
    middle = np.flatnonzero((np.abs(x) < 0.01) & (y > 0.0) & (y < 0.09))
    found = {"nose": points[middle[z[middle].argmax()]] - (0.0, 0.0, 0.010)}
    ears = makehuman.painted("ears") > 0.3
    for side, letter, sign in (("left", "l", 1.0), ("right", "r", -1.0)):
        found[f"{side}_eye"] = points[mesh.landmarks[f"{letter}-eye"]].mean(0)
        found[f"{side}_ear"] = points[ears & (sign * x > 0)].mean(0) - (sign * 0.006, 0.0, 0.0)
    return found
