"""Pose maps: keypoints drawn as smooth pictures, on the device, at any resolution.

A joint becomes a Gaussian, a limb the Gaussian of the distance to its segment. Both are functions
of continuous coordinates, so a coarse map still holds the joint's place to a fraction of a cell,
and a pose travels to the device as [joints, 3] numbers rather than as pictures.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from repose_jax.pose.skeleton import Skeleton

# Of a person, as a part of the picture's height: a limb's thickness and some cloth.
PERSON_SPREAD = 0.045


def grid(size: tuple[int, int], image_size: tuple[int, int]) -> Float[Array, "h w 2"]:
    """Where the cells of a map lie in the picture.

    Args:
      size: (height, width) of the map.
      image_size: (height, width) of the picture that the map covers.

    Returns:
      (x, y) of every cell's centre in pixels of the picture.
    """
    (h, w), (height, width) = size, image_size
    y = (jnp.arange(h, dtype=jnp.float32) + 0.5) * (height / h) - 0.5
    x = (jnp.arange(w, dtype=jnp.float32) + 0.5) * (width / w) - 0.5
    return jnp.stack(jnp.meshgrid(x, y, indexing="xy"), axis=-1)


def in_cells(
    pose: Float[Array, "*batch joints 3"], cell: float
) -> Float[Array, "*batch joints 3"]:
    """A pose in cells of a coarser grid, in which it lies where it did.

    Centres of pixels and of cells are whole numbers: the first cell of 4 pixels, 0 to 3, has its
    centre at 1.5.

    Args:
      pose: x, y in pixels, visibility.
      cell: pixels a side of a cell; 1 / n for the pixels of a picture n times as large.

    Returns:
      x, y in cells, and the visibility as it is. Joints that are not visible move too.
    """
    scale = jnp.array([1 / cell, 1 / cell, 1.0], pose.dtype)
    return pose * scale + jnp.array([(0.5 / cell) - 0.5] * 2 + [0.0], pose.dtype)


def segment_coordinates(
    points: Float[Array, "h w 2"],
    start: Float[Array, "*batch 2"],
    end: Float[Array, "*batch 2"],
) -> tuple[Float[Array, "*batch h w"], Float[Array, "*batch h w"]]:
    """Squared distance of points to segments, and how far along the segment the nearest point is.

    Returns:
      (squared distance in pixels^2, fraction in [0, 1]); for a segment of length 0 the distance to
      its start and 0.
    """
    # By coordinates, not as a sum over an axis of two: a processor takes many times as long for that.
    x, y = points[..., 0] - per_cell(start[..., 0]), points[..., 1] - per_cell(start[..., 1])
    dx, dy = per_cell(end[..., 0] - start[..., 0]), per_cell(end[..., 1] - start[..., 1])
    fraction = jnp.clip((x * dx + y * dy) / jnp.maximum(dx**2 + dy**2, 1e-6), 0.0, 1.0)
    return (x - fraction * dx) ** 2 + (y - fraction * dy) ** 2, fraction


def per_cell(x: Float[Array, "*batch"]) -> Float[Array, "*batch 1 1"]:
    """Numbers that are the same in all cells of a map."""
    return x[..., None, None]


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
