"""How the limbs of one pose lie to those of another."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

_STRETCH = 3.0  # a limb is stretched or shrunk at most this much beyond the body's scale


class Matched(NamedTuple):
    """Limbs of one pose beside those of the other.

    Attributes:
      source_axis, target_axis: their directions, [*batch, limbs, 2].
      scale: of the body, [*batch, 1].
      stretch: of each limb, kept within `_STRETCH` of the body's, [*batch, limbs].
      certain: how far a limb is known in both, [*batch, limbs].
    """

    source_axis: Array
    target_axis: Array
    scale: Array
    stretch: Array
    certain: Array


def matched(source_start, source_end, target_start, target_end, shared, reach) -> Matched:
    """How the source's limbs lie to the target's, by how far both show them."""
    source_limb, target_limb = source_end - source_start, target_end - target_start
    source_length, target_length = (
        jnp.sqrt(jnp.sum(limb**2, axis=-1) + 1e-6) for limb in (source_limb, target_limb))
    scale = ((jnp.sum(shared * source_length, axis=-1) + 1e-3)
             / (jnp.sum(shared * target_length, axis=-1) + 1e-3))[..., None]
    # A limb that points at the camera in either picture does not know its direction.
    shorter = jnp.minimum(source_length, target_length)
    return Matched(
        source_limb / source_length[..., None], target_limb / target_length[..., None], scale,
        jnp.clip(source_length / target_length, scale / _STRETCH, scale * _STRETCH),
        shared * shorter**2 / (shorter**2 + reach**2))
