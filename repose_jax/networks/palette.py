"""A person's own colours, where they are wanted (docs/method.md, 37).

A painter mixes colours well that are like those it was trained on, and muddy ones elsewhere. Here the
source is read at each joint and in the middle of each limb, and every cell of the target gets the
colours of what lies nearest to it there: nothing is learnt, so that nothing depends on what was seen in
training.
"""

from __future__ import annotations

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from repose_jax.networks.warp import resize, sampled
from repose_jax.pose.cells import grid, segment_coordinates
from repose_jax.pose.skeleton import Skeleton

# How near is near, as a part of the picture's height: about half of a limb, or of its cloth.
_NEAR = 0.045
# Log of the weight of what the target's pose does not tell where it is: that of three times as far.
_AWAY = -4.5
_NEVER = -1e9


def palette(
    source: Float[Array, "batch height width 3"],
    pose: Float[Array, "batch joints 3"],
    target_pose: Float[Array, "batch joints 3"],
    skeleton: Skeleton,
    cells: tuple[int, int],
) -> tuple[Float[Array, "batch h w 3"], Float[Array, "batch h w 1"]]:
    """The colours of a source's person in a target pose.

    Args:
      source: in [-1, 1].
      pose: of it, in pixels. A place beyond the edge shows what the edge does.
      target_pose: where its parts go.
      skeleton: names the limbs.
      cells: (height, width) of the grid over whose cells colours are means, and for whose cells they
        are told.

    Returns:
      (colours; how far the person reaches, 1 at its bones and 0 away from them, or everywhere if the
      source's pose tells no place).
    """
    image_size = source.shape[1], source.shape[2]
    start, end = (skeleton.limb_indices[:, i] for i in range(2))
    first, last = pose[:, start], pose[:, end]
    middles = jnp.concatenate([(first[..., :2] + last[..., :2]) / 2,
                               jnp.minimum(first[..., 2:], last[..., 2:])], axis=-1)
    places = jnp.concatenate([pose, middles], axis=1)
    where = (places[..., :2] + 0.5) / jnp.array(image_size[::-1], jnp.float32)
    colours = sampled(resize(source, cells, antialias=True), where)

    starts, ends = (jnp.concatenate([target_pose, target_pose[:, joints]], axis=1)
                    for joints in (start, end))
    distance2, _ = segment_coordinates(grid(cells, image_size), starts[..., :2], ends[..., :2])
    there = (jnp.minimum(starts[..., 2], ends[..., 2]) > 0)[..., None, None]
    near = jnp.where(there, -distance2 / (2 * (_NEAR * image_size[0]) ** 2), _AWAY)
    known = places[..., 2] > 0
    weights = nn.softmax(near + jnp.where(known, 0.0, _NEVER)[..., None, None], axis=1)
    reach = jnp.exp(jnp.where(there, near, -jnp.inf).max(axis=1)) * known.any(axis=1)[:, None, None]
    return jnp.einsum("bphw,bpc->bhwc", weights, colours), reach[..., None]
