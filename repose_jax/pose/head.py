"""Where the head is, from the joints alone."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from repose_jax.pose.cells import grid
from repose_jax.pose.head_frame import FACE, above_trunk, has_head_frame, head_frame, middle
from repose_jax.pose.skeleton import Skeleton
from repose_jax.pose.stature import stature

# Half of a head's height as a part of the trunk's length, and of the way from its middle to the neck.
_OF_TRUNK, _OF_NECK = 0.35, 0.8
_OTHERS = ("neck", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "toe", "heel")


class Head(NamedTuple):
    """A disc about as large as the head with its hair.

    Attributes:
      centre: x, y in pixels.
      radius: pixels; 0 where the pose does not tell where the head is, which has no centre either.
    """

    centre: Float[Array, "*batch 2"]
    radius: Float[Array, "*batch"]


def head_of(pose: Float[Array, "*batch joints 3"], skeleton: Skeleton) -> Head:
    """Where the head is: by its own joints, or by the trunk where none of them is visible.

    Seen from behind a head has no joint in most skeletons. Its size is the larger of what the trunk
    and the neck tell, as a trunk that bends towards the camera is short.

    Args:
      pose: x, y in pixels, visibility.
      skeleton: names the joints; those that are no part of trunk and limbs belong to the head.
    """
    own = [i for i, name in enumerate(skeleton.joints) if not name.endswith(_OTHERS)]
    face, seen = middle(pose[..., own, :])
    if "head_top" in skeleton.joints:  # the head's upper end, and not its middle
        top, neck = (pose[..., skeleton.index(name), :] for name in ("head_top", "neck"))
        face = jnp.where(neck[..., 2:] > 0, (top + neck)[..., :2] / 2, face)
    behind, trunk = above_trunk(pose, skeleton)
    centre = jnp.where(seen[..., None], face, behind)
    shoulders, some = middle(pose[..., skeleton.torso_indices[:2], :])
    neck = jnp.sqrt(jnp.sum((centre - shoulders) ** 2, axis=-1))
    radius = jnp.maximum(_OF_TRUNK * trunk, jnp.where(some & seen, _OF_NECK * neck, 0.0))
    return Head(jnp.where(radius[..., None] > 0, centre, 0.0), radius)


def head_map(
    pose: Float[Array, "*batch joints 3"], skeleton: Skeleton, size: tuple[int, int], above: float = 1.0
) -> Float[Array, "*batch height width 1"]:
    """The disc of `head_of` with a soft edge: 1 within, half at its radius, 0 from 1.2 radii.

    Args:
      pose: pixels of the picture.
      skeleton: of the pose.
      size: (height, width) of the picture.
      above: how much further it reaches away from the shoulders, as for hair.
    """
    head = head_of(pose, skeleton)
    apart = grid(size, size) - head.centre[..., None, None, :]
    squares = jnp.sum(apart**2, axis=-1)
    if above != 1.0:
        shoulders, some = middle(pose[..., skeleton.torso_indices[:2], :])
        up = jnp.where(some[..., None], head.centre - shoulders, jnp.array([0.0, -1.0]))
        up = up / jnp.sqrt(jnp.sum(up**2, axis=-1, keepdims=True) + 1e-6)
        higher = jnp.maximum(jnp.sum(apart * up[..., None, None, :], axis=-1), 0.0)
        squares = squares - (1 - above**-2) * higher**2
    away = jnp.sqrt(squares) / jnp.maximum(head.radius, 1e-6)[..., None, None]
    known = head.radius[..., None, None] > 0
    return jnp.where(known, jnp.clip(0.5 + (1 - away) / 0.4, 0.0, 1.0), 0.0)[..., None]


# Two heads whose turns differ by less than the first, in radians, show the same side; by more than the
# second they do not (docs/training-log.md). Between them is little: half of two heads is a ghost.
_SAME, _OTHER = math.radians(34), math.radians(36)
# Hair reaches further up than a head's disc, and what was painted of it must go.
_HAIR = 1.4


class RigidHead(NamedTuple):
    """Where a head that is moved as a whole comes from.

    Attributes:
      flow: (dx, dy) as fractions of width and height, as in `skeleton_flow`.
      share: how far each pixel belongs to a head that may be moved so, in [0, 1].
    """

    flow: Float[Array, "*batch height width 2"]
    share: Float[Array, "*batch height width 1"]


def has_face(skeleton: Skeleton) -> bool:
    """Whether the skeleton tells where a head faces."""
    return has_head_frame(skeleton) and "neck" in skeleton.joints


def rigid_head(
    source: Float[Array, "*batch joints 3"], target: Float[Array, "*batch joints 3"],
    skeleton: Skeleton, size: tuple[int, int],
) -> RigidHead:
    """The head of the source turned, scaled and moved onto the target's, as it is.

    The similarity that brings nose, eyes, ears and neck nearest (least squares). Only where both
    poses show two of the head's joints, and are turned alike: one head, seen from one side.

    Args:
      source, target: x, y in pixels, visibility.
      skeleton: one that `has_face`.
      size: (height, width) of the pictures.
    """
    joints = [skeleton.index(name) for name in (*FACE, "neck")]
    ours, theirs = target[..., joints, :], source[..., joints, :]
    seen, shown = ours[..., 2] > 0, theirs[..., 2] > 0
    weight = (seen & shown).astype(ours.dtype)[..., None]

    def centred(some: Array) -> tuple[Array, Array]:
        middle = (weight * some[..., :2]).sum(axis=-2) / jnp.maximum(weight.sum(axis=-2), 1.0)
        return middle, weight * (some[..., :2] - middle[..., None, :])

    (to, at), (start, there) = centred(ours), centred(theirs)
    spread = jnp.maximum((at**2).sum(axis=(-1, -2)), 1e-6)
    along = (at * there).sum(axis=(-1, -2)) / spread
    across = (at[..., 0] * there[..., 1] - at[..., 1] * there[..., 0]).sum(axis=-1) / spread
    points = grid(size, size)
    x, y = (points[..., i] - to[..., i, None, None] for i in range(2))
    along, across = along[..., None, None], across[..., None, None]
    place = [along * x - across * y + start[..., 0, None, None] - points[..., 0],
             across * x + along * y + start[..., 1, None, None] - points[..., 1]]
    flow = jnp.stack([place[0] / size[1], place[1] / size[0]], axis=-1)
    known = weight[..., :-1, 0].sum(axis=-1) >= 2
    turns = [head_frame(pose, jnp.zeros_like(spread), stature(pose, skeleton, size), skeleton, 0.0).turn
             for pose in (source, target)]
    apart = jnp.arccos(jnp.clip(jnp.cos(turns[0] - turns[1]), -1.0, 1.0))
    alike = known * jnp.clip((_OTHER - apart) / (_OTHER - _SAME), 0.0, 1.0)
    # Beyond the photo's edge there is nothing to move.
    within = [(points[..., i] + place[i] > -0.5) & (points[..., i] + place[i] < size[1 - i] - 0.5)
              for i in range(2)]
    disc = head_map(target, skeleton, size, _HAIR) * (within[0] & within[1])[..., None]
    share = alike[..., None, None, None] * disc
    return RigidHead(flow, share)
