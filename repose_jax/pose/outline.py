"""How far a person reaches to either side of their bones, as the picture shows it (docs/method.md, 39).

A pose says where bones are, not how thick a person is around them, nor that a spine lies at the back
of a trunk that is seen from the side.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from repose_jax.pose.axes import rightwards
from repose_jax.pose.cells import per_cell

# At how many places along a bone, and how often on the way out from there, the picture is asked.
_ALONG, _OUT = 9, 12
# What differs from the bone's own colour by more than this, in [-1, 1], is no longer the limb.
_ALIKE = 0.3


class Seen(NamedTuple):
    """What a picture tells of a person beside their pose.

    Attributes:
      picture: in [-1, 1].
      person: how far each pixel shows the person, in [0, 1].
    """

    picture: Float[Array, "*batch height width channels"]
    person: Float[Array, "*batch height width 1"]


class Outline(NamedTuple):
    """How far a picture shows a person, or one limb, beside each bone.

    Attributes:
      share: of the way out that was asked for, in [0, 1], at places along the bone from its start to
        its end; the last axis is left and right, [*batch, bones, places, 2].
      length: of the bone, pixels, [*batch, bones].
    """

    share: Float[Array, "*batch bones places 2"]
    length: Float[Array, "*batch bones"]


def person_outline(
    person: Float[Array, "*batch height width 1"], start: Float[Array, "*batch bones 2"],
    end: Float[Array, "*batch bones 2"], radius: Float[Array, "*batch bones"],
) -> Outline:
    """Goes out from the bones to both sides until the person ends.

    Args:
      person: how far each pixel shows the person, in [0, 1].
      start, end: of the bones, pixels.
      radius: how far to go, pixels. Beyond the picture's edge a person goes on.
    """
    _, out, inside = _asked(person, start, end, radius)
    return _outline(jnp.where(inside, out[..., 0], 1.0), start, end)


def limb_outline(
    picture: Float[Array, "*batch height width channels"], start: Float[Array, "*batch bones 2"],
    end: Float[Array, "*batch bones 2"], radius: Float[Array, "*batch bones"],
) -> Outline:
    """Goes out from the bones to both sides as long as the colour is the bone's own.

    Args:
      picture: in [-1, 1].
      start, end, radius: as for `person_outline`.
    """
    own, out, inside = _asked(picture, start, end, radius)
    apart = jnp.mean(jnp.abs(out - own), axis=-1)
    return _outline((inside & (apart < _ALIKE)).astype(picture.dtype), start, end)


def _outline(shown, start, end) -> Outline:
    return Outline(jnp.mean(jnp.cumprod(shown, axis=-1), axis=-1), _length(end - start))


def _length(bone):
    return jnp.sqrt(jnp.sum(bone**2, axis=-1) + 1e-6)


def _asked(values, start, end, radius):
    """Values on the bones [*batch, bones, places, 1, 1, c], those on the way out [*batch, bones,
    places, 2, steps, c], and whether the latter lie inside the picture."""
    bone = end - start
    out = (jnp.arange(_OUT) + 0.5) / _OUT * radius[..., None]
    both = jnp.stack([-out, out], axis=-2)[..., None, :, :, None]
    along = jnp.linspace(0.0, 1.0, _ALONG)[:, None] * bone[..., None, :] + start[..., None, :]
    along = along[..., None, None, :]
    side = rightwards(bone / _length(bone)[..., None])[..., None, None, None, :]
    return (nearest(values, along)[0], *nearest(values, along + both * side))


def nearest(
    values: Float[Array, "*batch height width c"], places: Float[Array, "*batch *places 2"]
) -> tuple[Float[Array, "*batch *places c"], Bool[Array, "*batch *places"]]:
    """The nearest pixels of places, those of the edge for what lies outside, and what lies inside."""
    *batch, height, width, channels = values.shape
    x, y = (jnp.round(places[..., i]).astype(jnp.int32) for i in (0, 1))
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    number = jnp.clip(y, 0, height - 1) * width + jnp.clip(x, 0, width - 1)
    found = jnp.take_along_axis(values.reshape(*batch, height * width, channels),
                                number.reshape(*batch, -1, 1), axis=-2)
    return found.reshape(*number.shape, channels), inside


def to_outline(
    seen: Outline, along: Float[Array, "*batch bones h w"], right: Bool[Array, "*batch bones h w"]
) -> Float[Array, "*batch bones h w"]:
    """The share of the way out at places along the bones, linear between those that were asked.

    Args:
      seen: of a person.
      along: how far from a bone's start, pixels; before it and beyond its end as at these.
      right: to which side.
    """
    place = jnp.clip(along / per_cell(seen.length), 0.0, 1.0) * (_ALONG - 1)
    total = jnp.zeros_like(place)
    for number in range(_ALONG):
        left_share, right_share = (per_cell(seen.share[..., number, side]) for side in (0, 1))
        near = jnp.maximum(1 - jnp.abs(place - number), 0.0)
        total += near * jnp.where(right, right_share, left_share)
    return total
