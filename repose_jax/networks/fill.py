"""Fills in what is not known of a picture from what is, by push and pull (docs/method.md, 22')."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from repose_jax.networks.warp import resize
from repose_jax.pose.head_frame import above_trunk
from repose_jax.pose.cells import grid, segment_coordinates
from repose_jax.pose.maps import PERSON_SPREAD, person_map
from repose_jax.pose.skeleton import Skeleton

# Flesh and most cloth: at 9 % of the height from the bones the picture is taken to be the place.
_SPREAD, _GAIN = 0.06, 3.0
# The same of a person who is cut out: closer, or other places would come along.
_CLOSE_GAIN = 2.0
# Where a skirt is, as parts of the way from hip to knee.
_SKIRT = (0.25, 0.5, 0.75)


def fill_in(
    picture: Float[Array, "batch height width c"], known: Float[Array, "batch height width 1"]
) -> Float[Array, "batch height width c"]:
    """The picture with its unknown pixels filled in from around them.

    Push and pull (Gortler et al. 1996): weighted means over ever larger cells, until every cell
    knows something; then, coarse to fine, each pixel keeps its own share and takes the rest from
    the coarser picture. Smooth: it continues colours, not patterns.

    Args:
      picture: any values.
      known: how far each pixel is known, in [0, 1].

    Returns:
      The picture itself where `known` is 1; zeros where nothing at all is known.
    """
    height, width = picture.shape[1:3]
    if height == width == 1:
        return picture * known

    def halved(x):
        even = jnp.pad(x, [(0, 0), (0, height % 2), (0, width % 2), (0, 0)])
        return even.reshape(x.shape[0], -(-height // 2), 2, -(-width // 2), 2, -1).sum(axis=(2, 4))

    weight = halved(known)
    means = halved(picture * known) / jnp.maximum(weight, 1e-6)
    coarse = fill_in(means, jnp.minimum(weight, 1.0))
    size = (2 * coarse.shape[1], 2 * coarse.shape[2])
    return known * picture + (1 - known) * resize(coarse, size)[:, :height, :width]


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


def _head(pose, skeleton, size, spread):
    """Where the head is by the trunk: seen from behind, a head has no joint in most skeletons."""
    head, trunk = above_trunk(pose, skeleton)
    squares = jnp.sum((grid(size, size) - head[:, None, None]) ** 2, axis=-1, keepdims=True)
    return (trunk > 0)[:, None, None, None] * jnp.exp(-squares / (2 * (spread * size[0]) ** 2))


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
    near = jnp.exp(-squares / (2 * (PERSON_SPREAD * size[0]) ** 2))
    return (shown[:, None, None] * near)[..., None]
