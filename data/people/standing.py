"""A person before a camera: posed, dressed, on the screen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from repose_jax.common.errors import UserError
from repose_jax.data.image.resize import Window, window
from repose_jax.data.people.appearance import Worn
from repose_jax.data.people.body import (
    ANGLES, PosedBody, pose_body, rotation_x, rotation_y, rotation_z)
from repose_jax.data.people.figure import Figure, dress, worn
from repose_jax.data.people.raycast import Cones, make_cones
from repose_jax.data.people.rig import skin
from repose_jax.data.people.scene import Camera
from repose_jax.data.people.tailored import tailored
from repose_jax.data.people.view import Identity, View

SMALLEST, LARGEST = (32, 16), (1024, 1024)


class Standing(NamedTuple):
    """A person before a camera: the posed body, its cones in space and on the screen, the projection
    from the one to the other, and what a mesh adds to the cones."""

    posed: PosedBody
    figure: Figure
    cones: Cones
    project: Projection
    worn: Worn | None


def stand(identity: Identity, view: View, height: int, width: int) -> Standing:
    """A person as a view shows them on a screen, the whole photo, of so many samples."""
    posed = pose_body(identity.body, view.angles)
    figure = dress(identity.body, identity.outfit, posed)
    project = _frame(figure, view.camera, identity.body.height, height, width)
    if identity.shape is None:
        return Standing(posed, figure, _on_screen(figure, project), project, None)
    person = tailored(identity)
    maps = person.rig.maps(identity.body, posed)
    points = skin(person.layers.points, person.layers.weights, person.layers.frames, maps)
    turn, offset = maps["head"][:, :3], maps["head"][:, 3]
    posed = PosedBody(posed.joints | {
        name: turn @ point + offset for name, point in person.landmarks.items()}, posed.frames)
    figure = worn(identity.body, identity.outfit, posed)
    return Standing(posed, figure, _on_screen(figure, project), project,
                    Worn(person.layers, project(points)))


def pixels_per_metre(identity: Identity, view: View, size: tuple[int, int]) -> float:
    """How large `render` shows what is as far from the camera as the middle of the hips."""
    return stand(identity, view, *photo_window(view, checked_size(size)).size).project.scale


def trunk_turn(view: View) -> float:
    """Which way the middle of the trunk faces, radians: 0 the camera, pi / 2 the picture's right."""
    return float(np.radians(view.camera.yaw + view.angles[ANGLES.index("spine_twist")] / 2))


def head_turn(identity: Identity, view: View) -> float:
    """Which way the head faces, radians, as `trunk_turn`."""
    head = pose_body(identity.body, view.angles).frames["head"]
    forward = _seen_by(view.camera) @ head[:, 2]
    return float(np.arctan2(forward[0], forward[2]))


def _seen_by(camera: Camera) -> Float[np.ndarray, "3 3"]:
    """From the body's axes to the picture's, and towards the viewer."""
    return rotation_z(camera.roll) @ rotation_x(camera.pitch) @ rotation_y(camera.yaw)


def photo_window(view: View, size: tuple[int, int]) -> Window:
    """Where the photo lies within a picture of that size."""
    return window(size if view.aspect is None else (1, view.aspect), size)


def mount(values: np.ndarray, inner: Window, size: tuple[int, int], fill: float) -> np.ndarray:
    """Values of a photo's pixels [height, width, ...] in a picture of a size, `fill` around them."""
    around = (*inner.margins(size), *[(0, 0)] * (values.ndim - 2))
    return np.pad(values, around, constant_values=fill)


def checked_size(size: tuple[int, int]) -> tuple[int, int]:
    height, width = (int(n) for n in size)
    if not (SMALLEST[0] <= height <= LARGEST[0] and SMALLEST[1] <= width <= LARGEST[1]):
        raise UserError("size", f"{height}x{width} cannot be rendered",
                        "give height x width between 32x16 and 1024x1024")
    return height, width


class Projection:
    """Perspective to samples: x right, y down, z towards the viewer from the body's origin."""

    def __init__(self, turn: np.ndarray, distance: float, scale: float, offset: np.ndarray):
        self.turn, self.distance, self.scale, self.offset = turn, distance, scale, offset

    def near(self, points: np.ndarray) -> np.ndarray:
        """How much larger than at the origin things appear, [points]."""
        return 1 / (1 - points @ self.turn[2] / self.distance)

    def __call__(self, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 3"]:
        turned = points @ self.turn.T
        near = 1 / (1 - turned[:, 2] / self.distance)
        flat = self.offset + self.scale * turned[:, :2] * near[:, None] * (1, -1)
        return np.concatenate([flat, self.scale * turned[:, 2:]], axis=1)


def _frame(figure: Figure, camera: Camera, stature: float, height: int, width: int) -> Projection:
    turn = _seen_by(camera)
    project = Projection(turn, camera.distance, 1.0, np.zeros(2))
    points = np.concatenate([figure.start, figure.end])
    flat = project(points)[:, :2]
    radii = (figure.radii.T.ravel() * project.near(points))[:, None]
    low, high = (flat - radii).min(axis=0), (flat + radii).max(axis=0)
    middle = np.array((width, height)) / 2 - 0.5 + height * np.array(camera.shift)
    if camera.stature:
        scale = camera.fill * height / stature
    else:
        span_x, span_y = high - low
        scale = camera.fill * height / span_y
        # Arms stretched out may leave a narrow picture, but only so far.
        scale = min(scale, max(1.02 * width / span_x, 0.72 * scale))
        middle = middle - scale * (low + high) / 2
    return Projection(turn, camera.distance, scale, middle)


def _on_screen(figure: Figure, project: Projection) -> Cones:
    start, end = project(figure.start), project(figure.end)
    radii = project.scale * figure.radii * np.stack(
        [project.near(figure.start), project.near(figure.end)], axis=1)
    front = figure.front @ project.turn.T * (1, -1, 1)
    return make_cones(start, end, radii, front, figure.squeeze, figure.cut)
