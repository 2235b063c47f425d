"""A convolution whose gradient stays fast inside a scan on a CPU.

The gradient of a convolution with respect to its input is a convolution with the kernel flipped and
transposed. Inside a loop XLA's CPU compiler leaves the transposition to the convolution, as its
layout ("01oi"), which none of its fast routines takes: a 3x3 one of 48 channels then needs 18 times
as long (jaxlib 0.10.2). Here the kernel is transposed explicitly behind a barrier, so that guiding
in a scan costs what it costs outside of one. Accelerators do the same work either way.
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
    channels needs 5 times as long as its strips of 16 rows. Accelerators sum those at once.
    """
    batch, height, width, channels = x.shape
    parts = -(-batch * height * width // _TERMS)
    if min(kernel.shape[2:]) < _WIDE:
        return _at_once(precision, x, kernel, cotangent)
    wide = max(channels, kernel.shape[3])
    if batch % parts or batch // parts * height * width * wide > _PART:
        rows = max(1, _STRIP // (batch * width * wide))
        if -(-height // rows) > _STRIPS:
            return _at_once(precision, x, kernel, cotangent)
        return lax.platform_dependent(
            x, kernel, cotangent, cpu=functools.partial(_of_strips, rows, precision),
            default=functools.partial(_at_once, precision))
    total = 0
    for some, theirs in zip(jnp.split(x, parts), jnp.split(cotangent, parts), strict=True):
        total = total + _at_once(precision, some, kernel, theirs)
    return total


def _at_once(precision, x, kernel, cotangent):
    (gradient,) = jax.linear_transpose(lambda k: _convolve(x, k, precision), kernel)(cotangent)
    return gradient


def _of_strips(rows, precision, x, kernel, cotangent):
    """The same, summed over strips of so many rows; each sees the rows of x that its kernel touches."""
    above, beside = kernel.shape[0] // 2, kernel.shape[1] // 2
    padded = jnp.pad(x, ((0, 0), (above, above), (0, 0), (0, 0)))
    total = 0
    for first in range(0, x.shape[1], rows):
        theirs = cotangent[:, first:first + rows]
        seen = padded[:, first:first + theirs.shape[1] + 2 * above]

        def strip(k, seen=seen):
            return lax.conv_general_dilated(
                seen, k, (1, 1), ((0, 0), (beside, beside)), dimension_numbers=_LAYOUT,
                precision=precision)

        total = total + jax.linear_transpose(strip, kernel)(theirs)[0]
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
