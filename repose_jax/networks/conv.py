"""A convolution whose gradient stays fast inside a scan on a CPU.

The gradient of a convolution with respect to its input is a convolution with the kernel flipped and
transposed. Inside a loop XLA's CPU compiler leaves the transposition to the convolution, as its
layout ("01oi"), which none of its fast routines takes: a 3x3 one of 48 channels then needs 18 times
as long (jaxlib 0.10.2). Here the kernel is transposed explicitly behind a barrier, so that guiding
in a scan costs what it costs outside of one. Accelerators do the same work either way.

The gradient with respect to the kernel is a convolution of the picture with the cotangent, batch and
channels exchanged, and loses as much in a loop (training by accumulation): on a CPU these are
transposed explicitly, too. Accelerators know it by its usual form, which they keep.

Where cells are few, or the kernel is 1x1, XLA's CPU compiler has nothing fast for the convolution nor
for its gradients: there they are matrix products (im2col, after Chellapilla et al. 2006), by the shape
alone. The patch that a kernel sees at a cell is laid out as a row; all rows times the kernel, which
needs no transposition for it, are the convolution, and its gradients are products of the same two.
"""

from __future__ import annotations

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_TERMS, _WIDE = 8_192, 32  # terms of a fast sum; narrower kernels have no use for it, nor for products
_FEW = 64  # cells that a product is for, whatever the channels; see `_by_product`
_PART, _STRIP = _TERMS * 48, 1 << 18  # numbers in a fast part of a batch, in a fast strip (1 MB)
_STRIPS = 32  # at most: each is a convolution to compile


def _by_product(x, kernel, times: int = 1) -> bool:
    """Whether a matrix product is faster on a CPU than XLA's convolution.

    Measured (docs/speed.md): with as many cells as channels, 64 at least, and with four times as
    many for the gradient with respect to the picture. A batch of unknown size has its convolutions.
    """
    narrow, cells = min(kernel.shape[2:]), math.prod(x.shape[:3])
    known = isinstance(cells, int) and x.dtype == jnp.float32
    return known and narrow >= _WIDE and (
        kernel.shape[:2] == (1, 1) or cells <= max(_FEW, times * narrow))


def _convolution(precision, x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=_LAYOUT,
                                    precision=precision)


def _convolve(x, kernel, precision):
    by = functools.partial(_convolution, precision)
    if not _by_product(x, kernel):
        return by(x, kernel)
    return lax.platform_dependent(
        x, kernel, cpu=functools.partial(product, precision=precision), default=by)


_same = jax.custom_vjp(_convolve, nondiff_argnums=(2,))


def _forward(x, kernel, precision):
    return _same(x, kernel, precision), (x, kernel)


def _backward(precision, saved, cotangent):
    x, kernel = saved
    return (_for_picture(kernel, cotangent, precision),
            _for_kernel(x, kernel, cotangent, precision))


def _for_picture(kernel, cotangent, precision):
    """The gradient with respect to x: a convolution with the kernel turned."""
    def turned(kernel, cotangent):
        flipped = lax.optimization_barrier(jnp.flip(kernel, (0, 1)).swapaxes(2, 3))
        return _same(cotangent, flipped, precision)

    if not _by_product(cotangent, kernel, times=4):
        return turned(kernel, cotangent)
    return lax.platform_dependent(
        kernel, cotangent, cpu=functools.partial(product_for_picture, precision=precision),
        default=turned)


def _for_kernel(x, kernel, cotangent, precision):
    """The gradient with respect to the kernel, summed over parts of the batch.

    It is a convolution too, whose sums run over batch, rows and columns. XLA's CPU compiler needs
    2.5 times as long for sums of more than 8,192 terms (48 channels, jaxlib 0.10.2). Where pictures
    are too large, or have more channels, strips of them are summed: one of 128x128 cells and 128
    channels needs 5 times as long as its strips of 16 rows, 8 of 256x256 cells 4 times as long as
    theirs of 8. Accelerators sum all at once.
    """
    batch, height, width, channels = x.shape
    parts = -(-batch * height * width // _TERMS)
    wide = max(channels, kernel.shape[3])
    rows = max(1, _STRIP // (batch * width * wide), -(-height // _STRIPS))
    sums = functools.partial(_of_parts, 1)
    if _by_product(x, kernel):
        sums = _of_products
    elif min(kernel.shape[2:]) >= _WIDE:
        if batch % parts == 0 and batch // parts * height * width * wide <= _PART:
            sums = functools.partial(_of_parts, parts)
        else:
            sums = functools.partial(_of_strips, rows)
    return lax.platform_dependent(
        x, kernel, cotangent, cpu=functools.partial(sums, precision),
        default=functools.partial(_at_once, precision))


def _at_once(precision, x, kernel, cotangent):
    (gradient,) = jax.linear_transpose(lambda k: _convolution(precision, x, k), kernel)(cotangent)
    return gradient


def _of_products(precision, x, kernel, cotangent):
    return product_for_kernel(x, kernel.shape[:2], cotangent, precision)


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


def _patches(
    x: Float[Array, "batch h w c"], size: tuple[int, int]
) -> Float[Array, "cells patch"]:
    """What a kernel of a (height, width) sees at each of batch h w cells, numbers of a tap together."""
    (height, width), (rows, columns) = x.shape[1:3], size
    if size == (1, 1):
        return x.reshape(-1, x.shape[-1])
    padded = jnp.pad(x, ((0, 0), (rows // 2,) * 2, (columns // 2,) * 2, (0, 0)))
    taps = [padded[:, i:i + height, j:j + width] for i in range(rows) for j in range(columns)]
    joined = jnp.concatenate(taps, -1).reshape(-1, rows * columns * x.shape[-1])
    return lax.optimization_barrier(joined)  # or they may be made anew for each block of the product


def product(
    x: Float[Array, "batch h w c"], kernel: Float[Array, "kh kw c d"], precision=None
) -> Float[Array, "batch h w d"]:
    """The convolution as a matrix product, whatever its shape."""
    rows, columns, _, channels = kernel.shape
    out = jnp.matmul(_patches(x, (rows, columns)), kernel.reshape(-1, channels), precision=precision)
    return out.reshape(*x.shape[:3], -1)


def product_for_picture(
    kernel: Float[Array, "kh kw c d"], cotangent: Float[Array, "batch h w d"],
    precision=None,
) -> Float[Array, "batch h w c"]:
    """Its gradient with respect to x: that of the rows, each number added where it was taken from."""
    (rows, columns, channels), shape = kernel.shape[:3], cotangent.shape[:3]
    rows_gradient = lax.dot_general(
        cotangent.reshape(-1, kernel.shape[3]), kernel.reshape(-1, kernel.shape[3]),
        (((1,), (1,)), ((), ())), precision=precision)
    if (rows, columns) == (1, 1):
        return rows_gradient.reshape(*shape, channels)
    taps = lax.optimization_barrier(rows_gradient).reshape(*shape, rows, columns, channels)
    zero = jnp.zeros((), taps.dtype)

    def moved(i: int, j: int) -> Float[Array, "batch h w c"]:
        down, right = i - rows // 2, j - columns // 2
        return lax.pad(taps[:, :, :, i, j], zero,
                       ((0, 0, 0), (down, -down, 0), (right, -right, 0), (0, 0, 0)))

    return jnp.asarray(sum(moved(i, j) for i in range(rows) for j in range(columns)))


def product_for_kernel(
    x: Float[Array, "batch h w c"], size: tuple[int, int], cotangent: Float[Array, "batch h w d"],
    precision=None,
) -> Float[Array, "kh kw c d"]:
    """Its gradient with respect to a kernel of a (height, width)."""
    seen, given = _patches(x, size), cotangent.reshape(-1, cotangent.shape[-1])
    if size == (1, 1):
        gradient = lax.dot_general(seen, given, (((0,), (0,)), ((), ())), precision=precision)
    else:  # transposed explicitly: the product is a fifth faster
        gradient = jnp.matmul(lax.optimization_barrier(seen.T), given, precision=precision)
    return gradient.reshape(*size, x.shape[-1], -1)


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
