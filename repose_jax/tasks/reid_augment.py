"""Random changes to a picture that leave the person in it: on the device, a key a picture."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

# Of the height or width; Zhong et al. 2017 erase 2 to 40 % of the area.
_SHIFT = 0.06
_ERASED = (0.15, 0.6)
_ERASE = 0.3
_COLOR = 0.1


def shifted(
    image: Float[Array, "h w 3"], key: Key[Array, ""], most: float = _SHIFT
) -> Float[Array, "h w 3"]:
    """The picture moved by up to `most` of its sides, its edge repeated."""
    h, w, _ = image.shape
    rows, columns = max(1, round(most * h)), max(1, round(most * w))
    padded = jnp.pad(image, ((rows, rows), (columns, columns), (0, 0)), mode="edge")
    row_key, column_key = jax.random.split(key)
    start = (jax.random.randint(row_key, (), 0, 2 * rows + 1),
             jax.random.randint(column_key, (), 0, 2 * columns + 1), 0)
    return jax.lax.dynamic_slice(padded, start, image.shape)


def mirrored(image: Float[Array, "h w 3"], key: Key[Array, ""]) -> Float[Array, "h w 3"]:
    """The picture, or in half of the cases its mirror image."""
    return jnp.where(jax.random.bernoulli(key), image[:, ::-1], image)


def recolored(
    image: Float[Array, "h w 3"], key: Key[Array, ""], most: float = _COLOR
) -> Float[Array, "h w 3"]:
    """Brightness, contrast and the gain of each channel changed by up to `most`; within [-1, 1]."""
    light_key, contrast_key, gain_key = jax.random.split(key, 3)
    light = jax.random.uniform(light_key, (), minval=-most, maxval=most)
    contrast = 1 + jax.random.uniform(contrast_key, (), minval=-most, maxval=most)
    gain = 1 + jax.random.uniform(gain_key, (3,), minval=-most / 2, maxval=most / 2)
    return jnp.clip((image * contrast + light + 1) * gain - 1, -1.0, 1.0)


def erased(
    image: Float[Array, "h w 3"], key: Key[Array, ""], share: float = _ERASE
) -> Float[Array, "h w 3"]:
    """A random rectangle painted grey in `share` of the cases (random erasing, Zhong et al. 2017).

    Its sides are 15 to 60 % of the picture's.
    """
    h, w, _ = image.shape
    apply_key, size_key, place_key = jax.random.split(key, 3)
    sides = jax.random.uniform(size_key, (2,), minval=_ERASED[0], maxval=_ERASED[1])
    corner = jax.random.uniform(place_key, (2,)) * (1 - sides)
    rows, columns = jnp.arange(h) / h, jnp.arange(w) / w
    inside = ((rows >= corner[0]) & (rows < corner[0] + sides[0]))[:, None] & (
        (columns >= corner[1]) & (columns < corner[1] + sides[1]))[None, :]
    inside &= jax.random.bernoulli(apply_key, share)
    return jnp.where(inside[..., None], 0.0, image)


def augmented(
    images: Float[Array, "batch h w 3"], keys: Key[Array, "batch"]
) -> Float[Array, "batch h w 3"]:
    """All of it: mirrored, shifted, recoloured, erased. Pictures in [-1, 1]."""

    def one(image, key):
        steps = (mirrored, shifted, recolored, erased)
        for step, step_key in zip(steps, jax.random.split(key, len(steps))):
            image = step(image, step_key)
        return image

    return jax.vmap(one)(images, keys)
