"""Directions in a picture, whose y points down."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def quarter_turn(axis: Float[Array, "*batch 2"]) -> Float[Array, "*batch 2"]:
    """From x to y."""
    return jnp.stack([-axis[..., 1], axis[..., 0]], axis=-1)


def rightwards(axis: Float[Array, "*batch 2"]) -> Float[Array, "*batch 2"]:
    """Across an axis, to the picture's right."""
    across = quarter_turn(axis)
    return jnp.where(across[..., :1] < 0, -across, across)
