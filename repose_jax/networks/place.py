"""What of a picture shows the place and what the person (docs/method.md, 22' and 34).

A pose says where bones are. Hair, a wide blouse, legs whose knees the photo cuts off: what is near a
person and does not look like the place further away is the person too, where colours are asked.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from repose_jax.networks.fill import fill_in
from repose_jax.networks.warp import resize
from repose_jax.pose.cells import grid, segment_coordinates
from repose_jax.pose.head_frame import above_trunk
from repose_jax.pose.maps import PERSON_SPREAD, person_map
from repose_jax.pose.skeleton import Skeleton

# Flesh and most cloth: at 9 % of the height from the bones the picture is taken to be the place.
_SPREAD, _GAIN = 0.06, 3.0
# The same of a person who is cut out: closer, or other places would come along.
_CLOSE_GAIN = 2.0
# Where a skirt is, as parts of the way from hip to knee.
_SKIRT = (0.25, 0.5, 0.75)
# At 18 % of the height from the bones nobody is taken to be there any more.
_FAR = 0.12
# What lies so many of the place's own deviations from its smooth picture is of it, up to half as many
# more in part; at least this much, in [-1, 1], may lie between.
_LIKE, _LEAST = 3.0, 0.03
# Cells of the smooth picture in the height; those that show less of the place than this are filled in.
_CELLS, _SHOWN = 16, 0.25
# A picture that shows less than this of the place far from the person tells nothing.
_ENOUGH = 0.01
# Where `_LIKE` of the place's own deviations are below the first, its colours tell the person from it,
# above the second they do not.
_ROUGH = 0.2, 0.3
# A person's edge is half of the place's colour: what looks like the place within 1 % of the height of
# what does not may be that.
_EDGE = 0.01
# Within 3 % of the height from the bones is the person whatever the colour.
_CORE = 0.02


def without_person(
    picture: Float[Array, "batch height width c"], pose: Float[Array, "batch joints 3"],
    skeleton: Skeleton, shown: Float[Array, "batch height width 1"] | float = 1.0,
) -> Float[Array, "batch height width c"]:
    """The place where a picture was taken: the person filled in from around.

    Args:
      picture: any values.
      pose: of the person, pixels of the picture; without a visible joint nothing is filled in.
      skeleton: of the pose.
      shown: how far each pixel may show the place, by what else is known of it.
    """
    known = surroundings(pose, skeleton, (picture.shape[1], picture.shape[2]))
    return fill_in(picture, known * shown)


def surroundings(
    pose: Float[Array, "batch joints 3"], skeleton: Skeleton, size: tuple[int, int],
    *, spread: float = _SPREAD,
) -> Float[Array, "batch height width 1"]:
    """Where a picture shows the place and not the person, by the pose alone.

    Args:
      pose: of the person, pixels of the picture.
      skeleton: of the pose.
      size: (height, width) of the picture.
      spread: of the person around the bones, as a fraction of the height; the place begins at one and
        a half times that.

    Returns:
      Shares in [0, 1]; 1 throughout for a pose without a visible joint.
    """
    person = jnp.maximum(person_map(pose, skeleton, size, sigma=spread),
                         _head(pose, skeleton, size, spread))
    return 1 - jnp.minimum(_GAIN * person, 1.0)


def in_place_of(
    source: Float[Array, "batch height width c"], target: Float[Array, "batch height width c"],
    source_pose: Float[Array, "batch joints 3"], target_pose: Float[Array, "batch joints 3"],
    skeleton: Skeleton,
) -> tuple[Float[Array, "batch height width c"], Float[Array, "batch height width 1"]]:
    """The target's person in the place where the source was taken (docs/method.md, 22'').

    Cut out are the target's limbs with some cloth and what lies between the thighs, where a skirt is.
    What stood behind the source's person is filled in from around.

    Args:
      source, target: pictures of one person, perhaps in two places.
      source_pose, target_pose: pixels of the picture.
      skeleton: of the poses.

    Returns:
      (the picture, the share of each pixel in [0, 1] that is seen of the source's place).
    """
    size = source.shape[1], source.shape[2]
    near = jnp.maximum(person_map(target_pose, skeleton, size), _skirt(target_pose, skeleton, size))
    person = jnp.minimum(_CLOSE_GAIN * near, 1.0)
    known = surroundings(source_pose, skeleton, size)
    return person * target + (1 - person) * fill_in(source, known), (1 - person) * known


def shows_place(
    picture: Float[Array, "batch height width c"], pose: Float[Array, "batch joints 3"],
    skeleton: Skeleton,
) -> Float[Array, "batch height width 1"]:
    """How far each pixel is far from the person, or it and all around it look like what is.

    Args:
      picture: in [-1, 1].
      pose: of the person, pixels of the picture.
      skeleton: of the pose.

    Returns:
      Shares in [0, 1]; 1 throughout where the person leaves too little of the place to compare with.
    """
    far, like, _, enough = _compared(picture, pose, skeleton)
    around = 2 * max(1, round(_EDGE * picture.shape[1])) + 1
    like = -nn.max_pool(-like, (around, around), padding="SAME")
    return jnp.where(enough, jnp.maximum(far, like), 1.0)


def shows_person(
    picture: Float[Array, "batch height width c"], pose: Float[Array, "batch joints 3"],
    skeleton: Skeleton,
) -> Float[Array, "batch height width 1"]:
    """How far each pixel is the person, by its colour where the place is plain.

    Args:
      picture, pose, skeleton: as for `shows_place`.

    Returns:
      Shares in [0, 1]; 1 throughout where nobody is seen, and where the place is so rough, or so little
      of it is seen, that its colours do not tell.
    """
    far, like, deviation, enough = _compared(picture, pose, skeleton)
    plain = enough * jnp.clip((_ROUGH[1] - deviation) / (_ROUGH[1] - _ROUGH[0]), 0.0, 1.0)
    bones = person_map(pose, skeleton, far.shape[1:3], sigma=_CORE)
    own = jnp.maximum(jnp.minimum(_GAIN * bones, 1.0), 1 - plain * jnp.maximum(far, like))
    someone = jnp.max(bones, axis=(1, 2, 3), keepdims=True) > 0.5
    return jnp.where(someone, own, 1.0)


def _near(squares, spread, size):
    """How near, in [0, 1], by squared distances in pixels and a spread in heights."""
    return jnp.exp(-squares / (2 * (spread * size[0]) ** 2))


def _head(pose, skeleton, size, spread):
    """Where the head is by the trunk: seen from behind, a head has no joint in most skeletons."""
    head, trunk = above_trunk(pose, skeleton)
    squares = jnp.sum((grid(size, size) - head[:, None, None]) ** 2, axis=-1, keepdims=True)
    return (trunk > 0)[:, None, None, None] * _near(squares, spread, size)


def _skirt(pose, skeleton, size):
    """Between the thighs, as far around as `person_map`; 0 where hips or knees are not known."""
    def joint(name):
        return pose[:, skeleton.index(name)]

    hips, knees = ([joint(f"{side}_{part}") for side in ("right", "left")] for part in ("hip", "knee"))
    shown = jnp.min(jnp.stack([corner[:, 2] for corner in hips + knees]), axis=0)
    across = [[(hip + part * (knee - hip))[:, :2] for hip, knee in zip(hips, knees, strict=True)]
              for part in _SKIRT]
    squares = jnp.min(jnp.stack([segment_coordinates(grid(size, size), *ends)[0]
                                 for ends in across]), axis=0)
    return (shown[:, None, None] * _near(squares, PERSON_SPREAD, size))[..., None]


def _compared(picture, pose, skeleton):
    """Of each pixel: whether it is far from the person, whether it looks like what is, by how much that
    deviates from its smooth picture; and whether there is enough of it."""
    size = picture.shape[1], picture.shape[2]
    far = surroundings(pose, skeleton, size, spread=_FAR) * (1 - _below(pose, skeleton, size))
    apart = jnp.mean((picture - _smooth(picture, far)) ** 2, axis=-1, keepdims=True)
    usual = _LIKE**2 * _smooth(apart, far)
    like = jnp.clip(3 - 2 * jnp.sqrt(apart / (usual + _LEAST**2)), 0.0, 1.0)
    enough = jnp.mean(far, axis=(1, 2, 3), keepdims=True) > _ENOUGH
    return far, like, jnp.sqrt(usual + 1e-12), enough


def _smooth(x, known):
    """Its known part in large cells, filled in."""
    height, width = x.shape[1:3]
    cell = max(1, height // _CELLS)
    cells = -(-height // cell), -(-width // cell)
    room = [(0, 0), (0, cells[0] * cell - height), (0, cells[1] * cell - width), (0, 0)]

    def summed(y):
        parts = jnp.pad(y, room).reshape(y.shape[0], cells[0], cell, cells[1], cell, -1)
        return parts.sum(axis=(2, 4))

    weight = summed(known)
    coarse = fill_in(summed(x * known) / jnp.maximum(weight, 1e-6),
                     jnp.minimum(weight / (_SHOWN * cell**2), 1.0))
    return resize(coarse, (cells[0] * cell, cells[1] * cell))[:, :height, :width]


def _below(pose, skeleton, size):
    """Where the rest of a person is whose knees the picture does not show: on below the hips or, where
    it does not show them, below the shoulders."""
    def joint(name):
        both = pose[:, [skeleton.index(f"{side}_{name}") for side in ("right", "left")]]
        shown = (both[..., 2:] > 0).astype(pose.dtype)
        return ((both[..., :2] * shown).sum(axis=1) / jnp.maximum(shown.sum(axis=1), 1.0),
                shown.max(axis=1) > 0)

    (shoulders, some), (hips, any_hip), (_, any_knee) = (
        joint(name) for name in ("shoulder", "hip", "knee"))
    down = jnp.where(some & any_hip, hips - shoulders, jnp.array([0.0, 1.0]))
    down = down / jnp.sqrt(jnp.sum(down**2, axis=-1, keepdims=True) + 1e-6)
    start = jnp.where(any_hip, hips, shoulders)
    squares, _ = segment_coordinates(grid(size, size), start, start + size[0] * down)
    cut = ((some | any_hip) & ~any_knee)[:, :, None]
    return jnp.where(cut, jnp.minimum(_GAIN * _near(squares, _FAR, size), 1.0), 0.0)[..., None]
