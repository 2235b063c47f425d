"""Pose maps: keypoints drawn as smooth pictures, on the device, at any resolution.

A joint becomes a Gaussian, a limb the Gaussian of the distance to its segment. Both are functions
of continuous coordinates, so a coarse map still holds the joint's place to a fraction of a cell,
and a pose travels to the device as [joints, 3] numbers rather than as pictures.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from repose_jax.pose.cells import grid, per_cell, segment_coordinates
from repose_jax.pose.skeleton import Skeleton

# Of a person, as a part of the picture's height: a limb's thickness and some cloth.
PERSON_SPREAD = 0.045


def limb_ends(
    pose: Float[Array, "*batch joints 3"], skeleton: Skeleton
) -> tuple[
    Float[Array, "*batch limbs 2"], Float[Array, "*batch limbs 2"], Float[Array, "*batch limbs"]
]:
    """Start, end and visibility of each limb; a limb is as visible as its less visible joint."""
    start = pose[..., skeleton.limb_indices[:, 0], :]
    end = pose[..., skeleton.limb_indices[:, 1], :]
    visible = jnp.minimum(start[..., 2], end[..., 2])
    return start[..., :2], end[..., :2], visible


def pose_maps(
    pose: Float[Array, "*batch joints 3"],
    skeleton: Skeleton,
    size: tuple[int, int],
    image_size: tuple[int, int],
    *,
    sigma: float = 0.02,
) -> Float[Array, "*batch h w maps"]:
    """Draws poses as joint and limb maps.

    Args:
      pose: x, y in pixels of a picture of `image_size`, visibility in [0, 1].
      skeleton: names the limbs; `maps` = joints + limbs.
      size: (height, width) of the maps.
      image_size: (height, width) of the picture.
      sigma: standard deviation of the Gaussians as a fraction of the picture's height; never less
        than 0.6 cells of the map, below which a Gaussian would fall between the cells.

    Returns:
      Values in [0, 1], exactly 0 for an invisible joint or limb; joints first, then limbs.
    """
    spread = max(sigma * image_size[0], 0.6 * image_size[0] / size[0])
    points = grid(size, image_size)
    start, end, limb_visible = limb_ends(pose, skeleton)
    joint_distance = ((points[..., 0] - per_cell(pose[..., 0])) ** 2
                      + (points[..., 1] - per_cell(pose[..., 1])) ** 2)
    limb_distance, _ = segment_coordinates(points, start, end)
    distance = jnp.concatenate([joint_distance, limb_distance], axis=-3)
    visible = jnp.concatenate([pose[..., 2], limb_visible], axis=-1)
    maps = visible[..., None, None] * jnp.exp(-distance / (2 * spread**2))
    return jnp.moveaxis(maps, -3, -1)


def person_map(
    pose: Float[Array, "*batch joints 3"],
    skeleton: Skeleton,
    image_size: tuple[int, int],
    *,
    sigma: float = PERSON_SPREAD,
) -> Float[Array, "*batch height width 1"]:
    """Roughly where a person is, from the joints alone: the largest of all pose maps.

    Args:
      pose, skeleton, image_size: as for `pose_maps`.
      sigma: spread, as a fraction of the picture's height.

    Returns:
      Values in [0, 1], one a pixel; 0 throughout for a pose without a visible joint.
    """
    maps = pose_maps(pose, skeleton, image_size, image_size, sigma=sigma)
    return jnp.max(maps, axis=-1, keepdims=True)


def map_count(skeleton: Skeleton) -> int:
    """Number of channels that `pose_maps` makes for a skeleton."""
    return len(skeleton.joints) + len(skeleton.limbs)
