"""A convolution whose gradient stays fast inside a scan on a CPU.

The gradient of a convolution with respect to its input is a convolution with the kernel flipped and
transposed. Inside a loop XLA's CPU compiler leaves the transposition to the convolution, as its
layout ("01oi"), which none of its fast routines takes: a 3x3 one of 48 channels then needs 18 times
as long (jaxlib 0.10.2). Here the kernel is transposed explicitly behind a barrier, so that guiding
in a scan costs what it costs outside of one. Accelerators do the same work either way.

The gradient with respect to the kernel is a convolution of the picture with the cotangent, batch and
channels exchanged, and loses as much in a loop (training by accumulation): on a CPU these are
transposed explicitly, too. Accelerators know it by its usual form, which they keep.
"""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_TERMS, _WIDE = 8_192, 32  # terms of a fast sum; narrower kernels have no use for it
_PART, _STRIP = _TERMS * 48, 1 << 18  # numbers in a fast part of a batch, in a fast strip (1 MB)
_STRIPS = 32  # at most: each is a convolution to compile


def _convolve(x, kernel, precision):
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=_LAYOUT,
                                    precision=precision)


_same = jax.custom_vjp(_convolve, nondiff_argnums=(2,))


def _forward(x, kernel, precision):
    return _same(x, kernel, precision), (x, kernel)


def _backward(precision, saved, cotangent):
    x, kernel = saved
    flipped = lax.optimization_barrier(jnp.flip(kernel, (0, 1)).swapaxes(2, 3))
    return _same(cotangent, flipped, precision), _for_kernel(x, kernel, cotangent, precision)


def _for_kernel(x, kernel, cotangent, precision):
    """The gradient with respect to the kernel, summed over parts of the batch.

    It is a convolution too, whose sums run over batch, rows and columns. XLA's CPU compiler needs
    2.5 times as long for sums of more than 8,192 terms (48 channels, jaxlib 0.10.2). Where pictures
    are too large, or have more channels, strips of them are summed: one of 128x128 cells and 128
    channels needs 5 times as long as its strips of 16 rows. Accelerators sum all at once.
    """
    batch, height, width, channels = x.shape
    parts = -(-batch * height * width // _TERMS)
    wide = max(channels, kernel.shape[3])
    rows = max(1, _STRIP // (batch * width * wide))
    sums = functools.partial(_of_parts, 1)
    if min(kernel.shape[2:]) >= _WIDE:
        if batch % parts == 0 and batch // parts * height * width * wide <= _PART:
            sums = functools.partial(_of_parts, parts)
        elif -(-height // rows) <= _STRIPS:
            sums = functools.partial(_of_strips, rows)
    return lax.platform_dependent(
        x, kernel, cotangent, cpu=functools.partial(sums, precision),
        default=functools.partial(_at_once, precision))


def _at_once(precision, x, kernel, cotangent):
    (gradient,) = jax.linear_transpose(lambda k: _convolve(x, k, precision), kernel)(cotangent)
    return gradient


def _summed(x, cotangent, padding, precision):
    """The sum over batch, rows and columns as a plain convolution of what is transposed explicitly."""
    picture, weights = lax.optimization_barrier(
        (x.transpose(3, 1, 2, 0), cotangent.transpose(1, 2, 0, 3)))
    return lax.conv_general_dilated(
        picture, weights, (1, 1), padding, dimension_numbers=_LAYOUT,
        precision=precision).transpose(1, 2, 0, 3)


def _of_parts(parts, precision, x, kernel, cotangent):
    """Summed over so many parts of the batch."""
    padding = [(size // 2, size // 2) for size in kernel.shape[:2]]
    return sum(_summed(some, theirs, padding, precision) for some, theirs in zip(
        jnp.split(x, parts), jnp.split(cotangent, parts), strict=True))


def _of_strips(rows, precision, x, kernel, cotangent):
    """Summed over strips of so many rows; each sees the rows of x that its kernel touches."""
    above, beside = kernel.shape[0] // 2, kernel.shape[1] // 2
    padded = jnp.pad(x, ((0, 0), (above, above), (0, 0), (0, 0)))
    total = 0
    for first in range(0, x.shape[1], rows):
        theirs = cotangent[:, first:first + rows]
        seen = padded[:, first:first + theirs.shape[1] + 2 * above]
        total = total + _summed(seen, theirs, ((0, 0), (beside, beside)), precision)
    return total


_same.defvjp(_forward, _backward)


def conv_general_dilated(
    lhs: Float[Array, "batch h w c"],
    rhs: Float[Array, "_kh _kw c d"],
    window_strides,
    padding,
    lhs_dilation=None,
    rhs_dilation=None,
    dimension_numbers=None,
    feature_group_count: int = 1,
    precision=None,
) -> Float[Array, "batch h2 w2 d"]:
    """`jax.lax.conv_general_dilated` for what these networks use: odd kernels, stride 1, "SAME".

    Reverse-mode differentiation only, of any order.

    Raises:
      ValueError: for a convolution of another kind.
    """
    plain = (tuple(window_strides) == (1, 1) and padding == "SAME" and feature_group_count == 1
             and set(lhs_dilation or (1,)) == {1} and set(rhs_dilation or (1,)) == {1}
             and all(size % 2 for size in rhs.shape[:2]))
    if not plain:
        raise ValueError("only odd kernels, stride 1 and SAME padding, neither dilated nor grouped")
    return _same(lhs, rhs, precision)


Conv = functools.partial(nn.Conv, conv_general_dilated=conv_general_dilated)
"""`flax.linen.Conv` with it; the parameters are the same."""
