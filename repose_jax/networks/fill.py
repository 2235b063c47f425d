"""Fills in what is not known of a picture from what is, by push and pull (docs/method.md, 22')."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from repose_jax.networks.warp import resize


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
