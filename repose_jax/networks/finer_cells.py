"""Parameters that learnt small pictures, for larger ones: the same cells, each of more pixels.

A network of twice the size and twice the `patch` has the same cells and so the same layers, but for
those that fold pixels into cells and unfold them again (docs/method.md, 22'''). Those begin here with
what the smaller network does: a cell is seen by the means of its blocks of pixels, and each pixel of a
block is painted from the block's features.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

Params = Any


def _as_cells(x: Array, patch: int, channels: int, factor: int) -> Array:
    """[..., patch * patch * channels] as those of `factor * patch`, each value for its whole block."""
    cells = x.reshape(*x.shape[:-1], patch, patch, channels)
    return cells.repeat(factor, axis=-3).repeat(factor, axis=-2).reshape(*x.shape[:-1], -1)


def _seen(
    kernel: Float[Array, "h w i o"], patch: int, pictures: tuple[int, ...], factor: int
) -> Float[Array, "h w _i o"]:
    """The kernel that folded `pictures`, of so many channels each, into cells; the rest stays."""
    parts, at = [], 0
    for channels in pictures:
        part = kernel[:, :, at:at + patch**2 * channels].swapaxes(-1, -2)
        parts.append(_as_cells(part, patch, channels, factor).swapaxes(-1, -2) / factor**2)
        at += patch**2 * channels
    return jnp.concatenate([*parts, kernel[:, :, at:]], axis=2)


def _unfolded(layer: Params, patch: int, factor: int) -> Params:
    """The layer that gives each pixel of a cell its features."""
    channels = layer["bias"].shape[0] // patch**2
    return {name: _as_cells(value, patch, channels, factor) for name, value in layer.items()}


def with_finer_cells(params: Params, patch: int, factor: int, channels: int = 3) -> Params:
    """The parameters of a network whose cells have `factor` times as many pixels a side.

    A source whose blocks of factor x factor pixels are each of one colour gives the same features, the
    same flow, and the picture as it was, enlarged, wherever it is smooth: the last two layers look at
    the nearest pixels, which now are half as far. What the denoiser adds to a painted picture would be
    a grid by that: there it begins with adding nothing.

    Args:
      params: of a `Network`; a painter is not needed.
      patch: pixels a side of its cells, at least 2: with 1 nothing is unfolded.
      factor: how many times as many there are to be.
      channels: of a picture.
    """
    def stem(part, *pictures):
        return {**part, "stem": {
            **part["stem"], "kernel": _seen(part["stem"]["kernel"], patch, pictures, factor)}}

    def unfold(part):
        return {**part, "unfold": _unfolded(part["unfold"], patch, factor)}

    # The denoiser sees the noisy picture and, where there is one, the copied one as one picture.
    unet = params["unet"]
    copied = unet["refine"]["kernel"].shape[2] - unet["unfold"]["bias"].shape[0] // patch**2
    grown = {**params, "encoder": stem(params["encoder"], channels),
             "unet": unfold(stem(unet, copied))}
    if "painter" in params:
        painter = params["painter"]
        seen = painter["head"]["bias"].shape[0] - channels  # a logit for each picture that it sees
        grown["painter"] = unfold(stem(painter, *[channels] * seen))
        grown["unet"]["head"] = {name: jnp.zeros_like(x) for name, x in unet["head"].items()}
    return grown
