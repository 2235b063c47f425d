"""Renders a person of a seed: one identity, any number of views."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from repose_jax.common.errors import UserError
from repose_jax.data.people.body import (
    ANGLES, Body, PosedBody, pose_body, rotation_x, rotation_y, rotation_z)
from repose_jax.data.people.figure import Figure, dress
from repose_jax.common.ranges import Cloth, Heads
from repose_jax.data.image.resize import Window, letterbox, shifted, window
from repose_jax.data.people.cloth import crease, in_print, loosened
from repose_jax.data.people.framing import sample_framing
from repose_jax.data.people.garments import Outfit, sample_outfit
from repose_jax.data.people.keypoints import JOINTS, as_skeletons, visible_joints
from repose_jax.data.people.poses import sample_angles
from repose_jax.data.people.raycast import NOTHING, Cones, cast, locate, make_cones
from repose_jax.data.people.scene import (
    Background, Camera, Light, Occluder, paint_background, paint_occluder, sample_background,
    sample_camera, sample_light, sample_occluder)
from repose_jax.data.people.surface import colour_surface, light_surface
from repose_jax.data.people.world import World
from repose_jax.pose.skeleton import SKELETONS

SMALLEST, LARGEST = (32, 16), (1024, 1024)
# Samples per pixel side; coverage of half a pixel's samples makes the mask.
_FINE = 2
_IDENTITY, _VIEW, _SCENE, _FRAMING, _CLOTH, _HEADS = 1, 2, 3, 4, 5, 6
_ASIDE = 60.0  # degrees that a head that turns turns at most


@dataclasses.dataclass(frozen=True)
class Identity:
    """Who it is: what all views of a person share."""

    body: Body
    outfit: Outfit


@dataclasses.dataclass(frozen=True)
class View:
    """How a person is shown: what differs between two pictures of them.

    Attributes:
      angles: joint angles, degrees, in the order of `body.ANGLES`.
      camera, light, background, occluder: see `scene`.
      aspect: width of the photo by its height; None is the picture's own, see `framing`.
      creases: seed of the folds of the clothes, see `cloth`; 0 for smooth ones.
      beyond: whether joints of trunk and limbs are known that lie outside of the photo, as those of
        a pose are that was taken over from another picture.
    """

    angles: np.ndarray
    camera: Camera
    light: Light
    background: Background
    occluder: Occluder
    aspect: float | None = None
    creases: int = 0
    beyond: bool = False


@dataclasses.dataclass(frozen=True)
class Render:
    """A picture and what is true of it.

    Attributes:
      image: uint8 [height, width, 3].
      mask: where the person covers at least half of a pixel, bool [height, width].
      coverage: part of each pixel that the person covers, float32 [height, width] in [0, 1].
      depth: nearness of the person's surface in pixels towards the viewer from the middle of the
        hips, float32 [height, width]; -inf where the person is not.
      poses: by the skeleton's name, float32 [joints, 3]: x, y, visibility; a joint that is hidden
        (by the person, an occluder or the frame) is 0, 0, 0.
      true_joints: by the skeleton's name, float32 [joints, 2]: x, y of every joint, hidden or not.
      known: left, top, right and bottom of where joints of trunk and limbs are annotated.
    """

    image: np.ndarray
    mask: np.ndarray
    coverage: np.ndarray
    depth: np.ndarray
    poses: dict[str, np.ndarray]
    true_joints: dict[str, np.ndarray]
    known: tuple[float, float, float, float]

    def annotated(self, skeleton: str) -> np.ndarray:
        """The pose as pose files have it, float32 [joints, 3].

        Estimators and annotators place a wrist that the body hides, but give no nose to a person
        seen from behind: joints of the trunk and the limbs are known wherever they lie inside
        `known`, those of the face where they show.
        """
        shown, points = self.poses[skeleton], self.true_joints[skeleton]
        inside = ((points > self.known[:2]) & (points < self.known[2:])).all(axis=-1)
        face = np.array([joint.split("_")[-1] in ("nose", "eye", "ear")
                         for joint in SKELETONS[skeleton].joints])
        known = np.where(face, shown[:, 2] > 0, inside)[:, None]
        return np.concatenate([points * known, known], axis=-1).astype(np.float32)


def sample_identity(
    seed: int, identity: int, cloth: Cloth = "smooth", heads: Heads = "following"
) -> Identity:
    """Person number `identity` of a world; both are integers of at least 0.

    With cloth that is not smooth some wear prints of more kinds or wide clothes, see `cloth`; lifelike
    heads have faces with shades, see `face`.
    """
    rng = _generator(_IDENTITY, seed=seed, identity=identity)
    femininity = float(np.clip(rng.normal(0.5, 0.45), 0, 1))
    about = lambda mean, deviation, spread=2.2: float(
        mean + deviation * np.clip(rng.standard_normal(), -spread, spread))
    girth = about(1.02, 0.09) - 0.05 * femininity
    body = Body(
        height=about(1.78 - 0.13 * femininity, 0.06), legs=about(1.0, 0.025), arms=about(1.0, 0.02),
        trunk=about(1.0, 0.02), shoulders=about(1.06 - 0.12 * femininity, 0.03),
        hips=about(0.97 + 0.1 * femininity, 0.03), girth=girth,
        belly=max(0.0, about(0.0, 0.02) + 0.3 * max(0.0, girth - 1.1)),
        bust=about(0.052, 0.008) if femininity > 0.55 else 0.0, head=about(1.03, 0.025))
    outfit = sample_outfit(rng, femininity)
    if cloth != "smooth":
        rng = _generator(_CLOTH, seed=seed, identity=identity)
        outfit = in_print(outfit, rng)
        outfit = loosened(outfit, rng) if cloth == "loose" else outfit
    return Identity(body, dataclasses.replace(outfit, lifelike=heads == "lifelike"))


def sample_view(seed: int, identity: int, view: int, world: World = World()) -> View:
    """View number `view` of a person: pose, camera, light, background and occluder.

    Args:
      seed, identity, view: integers of at least 0.
      world: how people are shown; what it changes is drawn after all else, which stays.
    """
    rng = _generator(_VIEW, seed=seed, identity=identity, view=view)
    drawn = View(sample_angles(rng), sample_camera(rng), sample_light(rng), sample_background(rng),
                 sample_occluder(rng))
    if world.scene == "person":
        place = _generator(_SCENE, seed=seed, identity=identity)
        drawn = dataclasses.replace(
            drawn, light=sample_light(place), background=sample_background(place))
    if world.cloth != "smooth":
        rng = _generator(_CLOTH, seed=seed, identity=identity, view=view)
        drawn = dataclasses.replace(drawn, creases=int(rng.integers(1, 2**31)))
    if world.heads != "following":
        rng = _generator(_HEADS, seed=seed, identity=identity, view=view)
        angles = drawn.angles.copy()
        angles[ANGLES.index("neck_twist")] = rng.uniform(-_ASIDE, _ASIDE)
        drawn = dataclasses.replace(drawn, angles=angles)
    if world.framing == "whole":
        return drawn
    framed = sample_framing(_generator(_FRAMING, seed=seed, identity=identity))
    rng = _generator(_FRAMING, seed=seed, identity=identity, view=view)
    return dataclasses.replace(drawn, camera=framed.apply(drawn.camera, rng),
                               aspect=framed.aspect, beyond=bool(rng.random() < 0.5))


def _generator(purpose: int, **numbers: int) -> np.random.Generator:
    for name, number in numbers.items():
        if number < 0:
            raise UserError(name, f"is {number}", "give an integer of at least 0")
    return np.random.default_rng([purpose, *numbers.values()])


def render_person(seed: int, identity: int, view: int, size: tuple[int, int],
                  world: World = World()) -> Render:
    """Renders a sampled view (see `sample_view`) of a sampled person at a size (height, width)."""
    return render(sample_identity(seed, identity, world.cloth, world.heads),
                  sample_view(seed, identity, view, world), size)


def render(identity: Identity, view: View, size: tuple[int, int]) -> Render:
    """Renders a view of a person.

    Args:
      identity: body and clothes.
      view: pose and scene.
      size: (height, width) in pixels, from 32 x 16 to 1024 x 1024.

    Returns:
      The picture, masks and joints; the same for the same arguments on every machine up to
      rounding.

    Raises:
      UserError: for a size that is not within these bounds.
    """
    size = _checked(size)
    inner = photo_window(view, size)
    return _mounted(_taken(identity, view, inner.size), inner, size)


def photo_window(view: View, size: tuple[int, int]) -> Window:
    """Where the photo lies within a picture of that size."""
    return window(size if view.aspect is None else (1, view.aspect), size)


def mount(values: np.ndarray, inner: Window, size: tuple[int, int], fill: float) -> np.ndarray:
    """Values of a photo's pixels [height, width, ...] in a picture of a size, `fill` around them."""
    around = (*inner.margins(size), *[(0, 0)] * (values.ndim - 2))
    return np.pad(values, around, constant_values=fill)


def _mounted(taken: Render, inner: Window, size: tuple[int, int]) -> Render:
    """A photo within a picture."""
    if inner.size == size:
        return taken
    by = np.array((inner.left, inner.top), np.float32)
    return Render(
        image=letterbox(taken.image, None, size)[0], mask=mount(taken.mask, inner, size, 0),
        coverage=mount(taken.coverage, inner, size, 0),
        depth=mount(taken.depth, inner, size, -np.inf),
        poses={name: shifted(pose, (inner.left, inner.top)) for name, pose in taken.poses.items()},
        true_joints={name: points + by for name, points in taken.true_joints.items()},
        known=tuple((np.array(taken.known) + np.tile(by, 2)).tolist()))


def _taken(identity: Identity, view: View, size: tuple[int, int]) -> Render:
    """The photo alone."""
    height, width = size
    fine_height, fine_width = height * _FINE, width * _FINE
    posed, figure, cones, project = stand(identity, view, fine_height, fine_width)
    depth, ids = cast(cones, fine_height, fine_width)

    fine = np.zeros((fine_height * fine_width, 4), np.float32)
    flat = np.flatnonzero(ids.ravel() != NOTHING)
    y, x = np.divmod(flat, fine_width)
    hits = locate(cones, ids.ravel()[flat], x.astype(np.float32), y.astype(np.float32),
                  depth.ravel()[flat])
    neck = 0.286 * identity.body.height * identity.body.trunk
    colours = colour_surface(figure, identity.outfit, hits, neck)
    normal = hits.normal
    if view.creases:
        normal, shade = crease(hits, figure, cones, view.creases)
        colours = colours * shade[:, None]
    colours = light_surface(colours, normal, figure.material[hits.cone], view.light)
    fine[flat, :3] = colours * _contact(depth, fine_height).ravel()[flat, None]
    fine[flat, 3] = 1
    occluder = paint_occluder(view.occluder, fine_height, fine_width)
    if occluder is not None:
        hidden, paint = occluder
        fine[hidden.ravel()] = 0

    fine = fine.reshape(fine_height, fine_width, 4)
    picture = _average(fine)
    coverage = picture[..., 3]
    behind = render_background(view, size, _ground_shadow(posed, project, view, size))
    image = picture[..., :3]
    if occluder is None:
        image = image + behind * (1 - picture[..., 3:])
    else:
        front = _average(np.concatenate([paint * hidden[..., None], hidden[..., None]], axis=-1))
        image = image + front[..., :3] + behind * (1 - picture[..., 3:] - front[..., 3:])
        ids = np.where(hidden, np.int16(NOTHING), ids)

    joints = project(np.stack([posed.joints[name] for name in JOINTS]))
    scale = project.scale
    visible = visible_joints(figure, joints, depth, ids, scale)
    points = (joints[:, :2] + 0.5) / _FINE - 0.5
    poses, true_joints = as_skeletons(points, visible)
    near = depth.reshape(height, _FINE, width, _FINE).max(axis=(1, 3))
    mask = coverage >= 0.5
    return Render(
        image=(np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8), mask=mask, coverage=coverage,
        depth=np.where(mask, near / _FINE, -np.inf).astype(np.float32), poses=poses,
        true_joints=true_joints,
        known=(-np.inf, -np.inf, np.inf, np.inf) if view.beyond else (
            -0.5, -0.5, width - 0.5, height - 0.5))


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


class Standing(NamedTuple):
    """A person before a camera: the posed body, its cones in space and on the screen, the projection
    from the one to the other."""

    posed: PosedBody
    figure: Figure
    cones: Cones
    project: _Projection


def stand(identity: Identity, view: View, height: int, width: int) -> Standing:
    """A person as a view shows them on a screen, the whole photo, of so many samples."""
    posed = pose_body(identity.body, view.angles)
    figure = dress(identity.body, identity.outfit, posed)
    return Standing(posed, figure, *_frame(
        figure, view.camera, identity.body.height, height, width))


def pixels_per_metre(identity: Identity, view: View, size: tuple[int, int]) -> float:
    """How large `render` shows what is as far from the camera as the middle of the hips."""
    return stand(identity, view, *photo_window(view, _checked(size)).size).project.scale


def _checked(size: tuple[int, int]) -> tuple[int, int]:
    height, width = (int(n) for n in size)
    if not (SMALLEST[0] <= height <= LARGEST[0] and SMALLEST[1] <= width <= LARGEST[1]):
        raise UserError("size", f"{height}x{width} cannot be rendered",
                        "give height x width between 32x16 and 1024x1024")
    return height, width


def render_background(view: View, size: tuple[int, int], shadow: np.ndarray | float = 1.0) -> (
        Float32[np.ndarray, "height width 3"]):
    """The view without person and occluder, in [0, 1]; `shadow` multiplies it."""
    return paint_background(view.background, *size) * shadow


def _average(fine: Float32[np.ndarray, "fine_height fine_width channels"]) -> Float32[
        np.ndarray, "height width channels"]:
    rows = fine[0::2] + fine[1::2]
    return (rows[:, 0::2] + rows[:, 1::2]) * np.float32(0.25)


def _contact(depth: np.ndarray, height: int) -> np.ndarray:
    """Darkens what lies just behind an edge of the person: limbs stand out from the trunk."""
    reach = max(1, round(height / 128))
    step = np.float32(height * 0.02)
    darkness = np.zeros_like(depth)
    for low, high in ((np.s_[:-reach], np.s_[reach:]), (np.s_[:, :-reach], np.s_[:, reach:])):
        gap = (depth[high] - depth[low]) / step
        darkness[low] += np.clip(gap - 1, 0, 1)
        darkness[high] += np.clip(-1 - gap, 0, 1)
    return 1 - np.float32(0.25) * darkness


class _Projection:
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


def _frame(figure: Figure, camera: Camera, stature: float, height: int, width: int) -> tuple[
        Cones, _Projection]:
    turn = _seen_by(camera)
    project = _Projection(turn, camera.distance, 1.0, np.zeros(2))
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
    project = _Projection(turn, camera.distance, scale, middle)
    start, end = project(figure.start), project(figure.end)
    radii = scale * figure.radii * np.stack(
        [project.near(figure.start), project.near(figure.end)], axis=1)
    front = figure.front @ turn.T * (1, -1, 1)
    return make_cones(start, end, radii, front, figure.squeeze, figure.cut), project


def _ground_shadow(posed: PosedBody, project: _Projection, view: View, size: tuple[int, int]):
    """A soft patch under the feet, [height, width, 1], or 1 where the light has none."""
    if view.light.shadow == 0:
        return 1.0
    height, width = size
    feet = project(np.stack([posed.joints[f"{side}_{end}"] for side in ("left", "right")
                             for end in ("heel", "toe")]))
    low, high = feet[:, :2].min(axis=0) / _FINE, feet[:, :2].max(axis=0) / _FINE
    lean = -view.light.direction[0] * 0.04 * height
    centre = (low + high) / 2 + (lean, 0.006 * height)
    reach = (high - low) / 2 + np.array((0.05, 0.018)) * height
    y = (np.arange(height) - centre[1]) / reach[1]
    x = (np.arange(width) - centre[0]) / reach[0]
    patch = np.exp(-1.2 * (x[None, :] ** 2 + y[:, None] ** 2))
    return (1 - view.light.shadow * patch)[..., None].astype(np.float32)
