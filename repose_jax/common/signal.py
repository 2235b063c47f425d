"""8-bit pictures, the range in which networks see them, and that in which metrics do."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped, UInt8


def to_signal(image: UInt8[Array, "*batch h w 3"]) -> Float[Array, "*batch h w 3"]:
    """8-bit pictures to the network's range [-1, 1]."""
    return image.astype(jnp.float32) / 127.5 - 1.0


def to_image(signal: Float[Array, "*batch h w 3"]) -> UInt8[Array, "*batch h w 3"]:
    """The network's range to 8-bit pictures."""
    return jnp.clip(jnp.round((signal + 1) * 127.5), 0, 255).astype(jnp.uint8)


def as_unit(images: Shaped[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Pictures in [0, 1] as float32, from uint8 or from floats that are there already.

    Raises:
      ValueError: for floats outside of [0, 1] (pictures in [-1, 1], say) or not finite.
    """
    images = np.asarray(images)
    if images.dtype == np.uint8:
        return images.astype(np.float32) / 255
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"pictures must be uint8 or floats in [0, 1], not {images.dtype}")
    if images.size and not (images.min() >= -1e-4 and images.max() <= 1 + 1e-4):
        raise ValueError(f"pictures must lie in [0, 1], not [{images.min()}, {images.max()}]")
    return np.clip(images, 0, 1).astype(np.float32)
