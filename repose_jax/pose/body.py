"""A pose as cylinders (docs/method.md, 5' and 5'')."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float


class Body(NamedTuple):
    """The cylinders of a pose, trunk first.

    Attributes:
      start, end: of their axes, pixels.
      known: how far the pose tells, in [0, 1].
      radius: half widths seen from the front, pixels.
      turn: about their axes, radians.
    """

    start: Float[Array, "*batch parts 2"]
    end: Float[Array, "*batch parts 2"]
    known: Float[Array, "*batch parts"]
    radius: Float[Array, "*batch parts"]
    turn: Float[Array, "*batch parts"]


def with_twins(body: Body, twins: np.ndarray) -> tuple[Body, Bool[Array, "*batch parts"]]:
    """A pose whose missing limbs are those of its other side, where it shows these, and which are."""
    order = np.append(twins, np.arange(len(twins), body.known.shape[-1]))
    twin = Body(body.start[..., order, :], body.end[..., order, :],
                *(part[..., order] for part in (body.known, body.radius, body.turn)))
    taken = (body.known == 0) & (twin.known > 0)
    return Body(*(jnp.where(taken[..., None] if ours.ndim > taken.ndim else taken, theirs, ours)
                  for ours, theirs in zip(body, twin, strict=True))), taken
