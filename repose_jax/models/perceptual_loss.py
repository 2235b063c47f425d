"""Painted pictures against real ones by what EfficientNet-Lite0 sees in them (docs/method.md, 29).

A difference of pixels is least for the mean of all that could be there, which is a blur. Features
tell a wrong texture from a right one that lies a pixel beside its place (Johnson et al. 2016; Zhang et
al. 2018, without their learnt weights), and their products, the Gram matrices of Gatys et al. 2016, say
which textures the clothes have, wherever they lie, and so those of the place: the mean of all streets
is a blur, the mean of their Gram matrices is not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from repose_jax.models.painting_loss import shrunk
from repose_jax.networks.efficientnet_lite import CELL, features
from repose_jax.pose.head import Head

_TINY = 1e-6
_REACH = CELL // 2
_ENOUGH = 0.02
# A head with its hair, from nearer: pixels a side, and half of that in radii of the head.
_CLOSE, _AROUND = 6 * CELL, 1.3

Params = Any
Pictures = Float[Array, "batch height width 3"]


def _unit(x: Array) -> Array:
    """Vectors of length 1 at every cell, as LPIPS compares them."""
    return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + _TINY)


def _seen(params: Params, ours: Pictures, theirs: Pictures) -> list[tuple[Array, Array]]:
    """Features of both at every level, of length 1 at every cell."""
    return [(_unit(a), _unit(b)) for a, b in zip(
        features(params, ours), features(params, theirs), strict=True)]


def _apart(ours: Float[Array, "batch h w c"], theirs: Float[Array, "batch h w c"]) -> Float[
        Array, "batch h w 1"]:
    """Squared distance at every cell."""
    return jnp.sum((ours - theirs) ** 2, axis=-1, keepdims=True)


def windows(
    x: Float[Array, "batch h w c"], keys: Key[Array, "batch"], share: float
) -> Float[Array, "batch _h _w c"]:
    """Of each picture, its edge repeated for half a coarse cell, a window at a random place.

    A window of the picture's own size moves it by up to half a cell: the network's strides give some
    pixels of a cell more say than others, and with cells at a fixed place the painted picture would
    get their grid.

    Args:
      x: pictures whose sides are multiples of `CELL`.
      keys: by which the places are drawn.
      share: of height and of width that a window has, rounded up to multiples of `CELL`.
    """
    padded = jnp.pad(x, ((0, 0), (_REACH, _REACH), (_REACH, _REACH), (0, 0)), mode="edge")
    height, width = (-int(-side * share // CELL) * CELL for side in x.shape[1:3])
    room = jnp.array(padded.shape[1:3]) - jnp.array((height, width))

    def crop(picture, key):
        row, column = jax.random.randint(key, (2,), 0, room + 1)
        return jax.lax.dynamic_slice(picture, (row, column, 0), (height, width, x.shape[3]))

    return jax.vmap(crop)(padded, keys)


def close_up(
    x: Float[Array, "batch h w c"], head: Head, side: int = _CLOSE
) -> Float[Array, "batch side side c"]:
    """The square around each picture's head, of 1.3 radii to each side, at one size for all.

    Args:
      x: pictures; zeros are what lies outside of them.
      head: where to look; without a radius what is seen means nothing.
      side: pixels a side of what is seen.
    """
    def look(picture, centre, radius):
        scale = side / jnp.maximum(2 * _AROUND * radius, 1.0)
        # Centres of pixels are whole numbers in poses, and halves in `scale_and_translate`.
        shift = side / 2 - (centre + 0.5) * scale
        return jax.image.scale_and_translate(
            picture, (side, side, picture.shape[-1]), (0, 1), jnp.stack([scale, scale]), shift[::-1],
            "linear")

    return jax.vmap(look)(x, head.centre, head.radius)


class CloseUps(NamedTuple):
    """What EfficientNet-Lite0 sees of heads, from nearer.

    Attributes:
      ours, theirs: features of the painted heads and of the target's, of length 1 at every cell, finest
        first.
      shown: 1 where there is a head, else 0; what is seen there means nothing.
      nearer: how large a pixel that is seen is on the picture, by area, at most 1.
    """

    ours: tuple[Float[Array, "batch _h _w _c"], ...]
    theirs: tuple[Float[Array, "batch _h _w _c"], ...]
    shown: Float[Array, "batch"]
    nearer: Float[Array, "batch"]


def close_ups(params: Params, painted: Pictures, target: Pictures, head: Head) -> CloseUps:
    """Looks at the heads of both.

    Args:
      params: of EfficientNet-Lite0; constants.
      painted, target: pictures in [-1, 1]. No gradient reaches the target.
      head: of the target pose.
    """
    pairs = _seen(params, close_up(painted, head), close_up(jax.lax.stop_gradient(target), head))
    ours, theirs = zip(*pairs, strict=True)
    nearer = jnp.minimum(2 * _AROUND * head.radius / _CLOSE, 1.0) ** 2
    return CloseUps(ours, theirs, (head.radius > 0).astype(painted.dtype), nearer)


def close_up_term(seen: CloseUps) -> Float[Array, ""]:
    """Equation 29': distances of the heads' features; pairs that show none count nothing."""
    apart = jnp.asarray(sum(jnp.mean(_apart(*pair), axis=(1, 2, 3))
                            for pair in zip(seen.ours, seen.theirs, strict=True)))
    return jnp.sum(seen.shown * apart) / len(seen.ours) / jnp.maximum(seen.shown.sum(), 1.0)


def gram(x: Float[Array, "batch h w c"], where: Float[Array, "batch h w 1"]) -> Float[
        Array, "batch c c"]:
    """Mean products of channels over the cells that `where` weighs."""
    return jnp.einsum("bhwc,bhwd->bcd", x * where, x) / (where.sum((1, 2)) + _TINY)[..., None]


def perceptual_terms(
    params: Params, painted: Pictures, target: Pictures,
    weight: Float[Array, "batch height width 1"], person: Float[Array, "batch height width 1"],
    seen: Float[Array, "batch height width 1"], keys: Key[Array, "batch"], perceptual: float,
    style: float, share: float = 1.0,
) -> dict[str, Float[Array, ""]]:
    """Equation 29.

    Args:
      params: of EfficientNet-Lite0; constants.
      painted, target: pictures in [-1, 1], whose sides are multiples of `CELL`. No gradient reaches the
        target.
      weight: of each pixel, with a mean of 1.
      person: where the target's person is, in [0, 1].
      seen: the share of each pixel of the target that shows what is around the person and is worth
        learning from, in [0, 1].
      keys: by which a place is drawn in each pair, the same in both its pictures.
      perceptual: weight of the features' distance.
      style: weight of the Gram matrices' distance, over the person and over what is around.
      share: of height and of width that is looked at; see `windows`. The mean over all places of the
        features' distance is that of whole pictures, but at their edges.

    Returns:
      "perceptual" and "style", each where its weight is above 0.
    """
    together = windows(jnp.concatenate(
        [painted, jax.lax.stop_gradient(target), weight, person, seen], axis=-1), keys, share)
    painted, target, weight, person, seen = jnp.split(together, (3, 6, 7, 8), axis=-1)

    def told(where):
        # What next to nothing is seen of has no textures to tell of.
        return jnp.minimum(where.mean(axis=(1, 2, 3)) / _ENOUGH, 1.0)[:, None]

    pairs = _seen(params, painted, target)

    def distance(ours, theirs):
        return jnp.mean(shrunk(weight, ours.shape[1:3]) * _apart(ours, theirs))

    def other_style(ours, theirs):
        inside, shown = (shrunk(x, ours.shape[1:3]) for x in (person, seen))

        def apart(where, there):
            return jnp.sum(jnp.abs(gram(ours, where) - gram(theirs, there)), axis=2)

        return jnp.mean(told(person) * apart(inside, inside)) + jnp.mean(
            told(seen) * apart(1 - inside, shown))

    return {name: weight_of / len(pairs) * jnp.asarray(sum(term(*pair) for pair in pairs))
            for name, weight_of, term in (("perceptual", perceptual, distance),
                                          ("style", style, other_style)) if weight_of}
