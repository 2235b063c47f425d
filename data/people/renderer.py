"""Renders a person of a seed: one identity, any number of views."""

from __future__ import annotations

import dataclasses
import numpy as np
from jaxtyping import Float32

from repose_jax.data.image.resize import Window, letterbox, shifted
from repose_jax.data.people.appearance import clothed_joints, painted, show
from repose_jax.data.people.body import PosedBody, neck_height
from repose_jax.data.people.keypoints import JOINTS, as_skeletons, visible_joints
from repose_jax.data.people.raycast import NOTHING
from repose_jax.data.people.scene import paint_background, paint_occluder
from repose_jax.data.people.standing import Projection, checked_size, mount, photo_window, stand
from repose_jax.data.people.surface import light_surface
from repose_jax.data.people.view import Identity, View, sample_identity, sample_view
from repose_jax.data.people.world import World
from repose_jax.pose.skeleton import SKELETONS

# Samples per pixel side; coverage of half a pixel's samples makes the mask.
_FINE = 2


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


def render_person(seed: int, identity: int, view: int, size: tuple[int, int],
                  world: World = World()) -> Render:
    """Renders a sampled view (see `sample_view`) of a sampled person at a size (height, width)."""
    return render(sample_identity(seed, identity, world),
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
    size = checked_size(size)
    inner = photo_window(view, size)
    return _mounted(_taken(identity, view, inner.size), inner, size)


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
    posed, figure, cones, project, worn = stand(identity, view, fine_height, fine_width)
    shown = show(cones, worn, fine_height, fine_width)
    depth, ids = shown.depth, shown.ids

    fine = np.zeros((fine_height * fine_width, 4), np.float32)
    at, colours, normal, material = painted(
        shown, figure, cones, worn, identity.outfit, neck_height(identity.body), view.creases)
    colours = light_surface(colours, normal, material, view.light)
    fine[at, :3] = colours * _contact(depth, fine_height).ravel()[at, None]
    fine[at, 3] = 1
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
    visible = visible_joints(clothed_joints(figure, worn), joints, depth, ids, scale)
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


def _ground_shadow(posed: PosedBody, project: Projection, view: View, size: tuple[int, int]):
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
