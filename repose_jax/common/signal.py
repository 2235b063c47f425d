"""8-bit pictures and the range in which networks see them."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8


def to_signal(image: UInt8[Array, "*batch h w 3"]) -> Float[Array, "*batch h w 3"]:
    """8-bit pictures to the network's range [-1, 1]."""
    return image.astype(jnp.float32) / 127.5 - 1.0


def to_image(signal: Float[Array, "*batch h w 3"]) -> UInt8[Array, "*batch h w 3"]:
    """The network's range to 8-bit pictures."""
    return jnp.clip(jnp.round((signal + 1) * 127.5), 0, 255).astype(jnp.uint8)
