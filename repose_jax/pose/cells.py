"""Where the cells of a map lie in the picture, and what lies how near."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


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
