"""Which way a head is held, from its joints (docs/method.md, 5'')."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from repose_jax.pose.axes import rightwards
from repose_jax.pose.skeleton import Skeleton

# From the hips' middle to the shoulders', and on by this part of it, one is in the middle of the head.
_ABOVE_TRUNK = 0.45
# Half of a head's breadth as a part of the stature, hair included.
_BREADTH = 0.05
# Where joints are, in halves of the breadth from the middle between the ears: to the person's right,
# up, and forward (after the renderer's heads, whose measures are an average person's).
FACE = {"nose": (0.0, -0.2, 1.33), "right_eye": (0.42, 0.22, 1.12), "left_eye": (-0.42, 0.22, 1.12),
        "right_ear": (0.96, 0.0, 0.0), "left_ear": (-0.96, 0.0, 0.0)}
_PLACES = np.array(list(FACE.values()), np.float32)
# How far off, in halves of the breadth: a joint; the head's middle from where the trunk has it; the
# ends of its axes from where they are on a head that is turned as the trunk is.
_NOISE, _AWAY, _TURNED = 0.2, 0.6, 0.5
# How often a joint on the side that is seen is hidden, nose, eyes and ears, by hair or a hand; and how
# often one on the other side is seen. Von Mises concentration of the head's turn about the trunk's.
_HIDDEN, _SHINES, _FOLLOWS = np.array([0.1, 0.1, 0.1, 0.35, 0.35], np.float32), 0.05, 1.5
_TURNS = np.arange(72, dtype=np.float32) * (2 * np.pi / 72)
# Of each turn and joint: how far across, and how likely it is seen.
_ACROSS = (np.outer(np.sin(_TURNS), _PLACES[:, 2]) - np.outer(np.cos(_TURNS), _PLACES[:, 0]))
_TOWARDS = (np.outer(np.cos(_TURNS), _PLACES[:, 2]) + np.outer(np.sin(_TURNS), _PLACES[:, 0])) / (
    np.hypot(_PLACES[:, 0], _PLACES[:, 2]))
_SEEN = _SHINES + (1 - _HIDDEN - _SHINES) / (1 + np.exp(-6 * _TOWARDS))


class HeadFrame(NamedTuple):
    """A head as an upright cylinder.

    Attributes:
      centre: x, y in pixels of the middle between the ears.
      across: unit vector across its height, to the picture's right.
      radius: half of its breadth, pixels.
      turn: which way it faces, radians: 0 the camera, pi / 2 along `across`.
      known: 1 where the pose tells, by the trunk or two joints of the head, else 0.
    """

    centre: Float[Array, "*batch 2"]
    across: Float[Array, "*batch 2"]
    radius: Float[Array, "*batch"]
    turn: Float[Array, "*batch"]
    known: Float[Array, "*batch"]


def has_head_frame(skeleton: Skeleton) -> bool:
    """Whether the skeleton has the joints that tell."""
    return set(FACE) <= set(skeleton.joints)


def middle(joints: Float[Array, "*batch some 3"]) -> tuple[Array, Array]:
    """The mean of the visible ones, x and y, and whether there is one."""
    shown = joints[..., 2:] > 0
    count = shown.sum(axis=-2)
    return (joints[..., :2] * shown).sum(axis=-2) / jnp.maximum(count, 1), count[..., 0] > 0


def above_trunk(
    pose: Float[Array, "*batch joints 3"], skeleton: Skeleton
) -> tuple[Float[Array, "*batch 2"], Float[Array, "*batch"]]:
    """Middle of the head by the trunk alone, and the trunk's length, 0 where it is not known.

    Args:
      pose: x, y in pixels, visibility.
      skeleton: names the joints.
    """
    shoulders, trunk, length = _trunk(pose, skeleton)
    return shoulders + _ABOVE_TRUNK * trunk, length


def _trunk(pose, skeleton):
    """Middle of the shoulders, the way to it from that of the hips, and its length or 0."""
    corners = pose[..., skeleton.torso_indices, :]
    (shoulders, some), (hips, any_hip) = middle(corners[..., :2, :]), middle(corners[..., 2:, :])
    trunk = shoulders - hips
    length = jnp.sqrt(jnp.sum(trunk**2, axis=-1) + 1e-6)
    return shoulders, trunk, jnp.where(some & any_hip, length, 0.0)


def head_frame(
    pose: Float[Array, "*batch joints 3"], turn: Float[Array, "*batch"],
    stature: Float[Array, "*batch"], skeleton: Skeleton, follows: float = _FOLLOWS,
) -> HeadFrame:
    """How a head is held: as its visible joints say, and for what they leave open as the trunk is.

    Seen from afar joints are c + a r + b f, with the head's middle c, its axes r (to the right) and f
    (forward) on the picture and the a, b of an average head: linear in c, r and f, which are those of
    the highest probability under normal errors of joints and of what the trunk says. They tell what is
    across the head's height, and how large it is. Its turn about that height is then the mean direction
    over all turns, by where joints are across it and by which of them are seen: of a profile one ear.

    Args:
      pose: x, y in pixels, visibility.
      turn: which way the trunk faces, radians, as in `turned_flow`.
      stature: pixels.
      skeleton: one that `has_head_frame`.
      follows: how closely a head's turn follows the trunk's, a von Mises concentration; 0 where the
        trunk's is not known.
    """
    joints = pose[..., [skeleton.index(name) for name in FACE], :]
    seen = (joints[..., 2] > 0).astype(jnp.float32)
    radius = _BREADTH * stature
    shoulders, trunk, length = _trunk(pose, skeleton)
    known = length > 0
    up = jnp.where(known[..., None], trunk / jnp.maximum(length, 1.0)[..., None],
                   jnp.array([0.0, -1.0]))
    side = rightwards(up)
    face, _ = middle(joints)
    # In halves of the breadth, about where the head's middle is looked for.
    start, unit = jnp.where(known[..., None], shoulders + _ABOVE_TRUNK * trunk, face), radius[..., None]
    places = ((joints[..., :2] - start[..., None, :]) / unit[..., None]
              - _PLACES[:, 1:2] * up[..., None, :])
    design = np.stack([np.ones_like(_PLACES[:, 0]), _PLACES[:, 0], _PLACES[:, 2]], axis=-1)
    certain = np.array([1 / _AWAY**2, 1 / _TURNED**2, 1 / _TURNED**2], np.float32)
    expected = jnp.stack([jnp.zeros_like(turn), -jnp.cos(turn), jnp.sin(turn)],
                         axis=-1)[..., None] * side[..., None, :]
    weighed = seen[..., None] * design / _NOISE**2
    normal = jnp.einsum("...ja,jb->...ab", weighed, design) + np.diag(certain)
    centre, right, forward = jnp.moveaxis(_solved(
        normal, jnp.einsum("...ja,...jd->...ad", weighed, places) + certain[:, None] * expected), -2, 0)
    # The main direction of both axes is across the height; two steps of the power method find it.
    across = side
    for _ in range(2):
        across = _inner(right, across) * right + _inner(forward, across) * forward
        across = across / jnp.sqrt(_inner(across, across) + 1e-6)
    size = _inner(forward, across) ** 2 + _inner(right, across) ** 2
    own = jnp.clip((size + 1e-6) ** 0.25, 0.75, 1.4)  # half way to what the joints say
    beside, turn = _turned((places * across[..., None, :]).sum(axis=-1) / own, seen, turn, follows)
    centre = centre + (beside[..., None] * own - _inner(centre, across)) * across
    return HeadFrame(
        start + unit * centre, across, radius * own[..., 0], turn,
        jnp.maximum(known, seen.sum(axis=-1) >= 2).astype(jnp.float32))


def _turned(places, seen, turn, follows):
    """Where the head's middle is across its height, and its turn, by where its joints are across it."""
    certain = seen[..., None, :] / _NOISE**2
    apart = places[..., None, :] - _ACROSS
    middle = (certain * apart).sum(axis=-1) / (certain.sum(axis=-1) + 1 / _AWAY**2)
    errors = ((certain * (apart - middle[..., None]) ** 2).sum(axis=-1) + (middle / _AWAY) ** 2) / 2
    shown = jnp.where(seen[..., None, :] > 0, np.log(_SEEN), np.log(1 - _SEEN)).sum(axis=-1)
    shown *= seen.max(axis=-1, keepdims=True)  # a pose without a head says nothing of it
    likely = jax.nn.softmax(shown - errors + follows * jnp.cos(_TURNS - turn[..., None]))
    return ((likely * middle).sum(axis=-1), jnp.arctan2(
        (likely * np.sin(_TURNS)).sum(axis=-1), (likely * np.cos(_TURNS)).sum(axis=-1)))


def _inner(a, b):
    return jnp.sum(a * b, axis=-1, keepdims=True)


def _solved(matrix: Float[Array, "*batch 3 3"], right: Float[Array, "*batch 3 n"]):
    """Of symmetric equations, by Cramer's rule: an exported model calls no library."""
    a, b, c = (matrix[..., i, :] for i in range(3))
    cofactors = jnp.stack([jnp.cross(b, c), jnp.cross(c, a), jnp.cross(a, b)], axis=-2)
    return jnp.einsum("...ab,...bd->...ad", cofactors, right) / _inner(a, cofactors[..., 0, :])[
        ..., None]
