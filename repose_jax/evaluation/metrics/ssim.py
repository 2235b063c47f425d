"""Structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004), a value per picture, on the device.

  SSIM = (2 mx my + C1)(2 sxy + C2) / ((mx^2 + my^2 + C1)(sx^2 + sy^2 + C2)),
  C1 = .01^2, C2 = .03^2 for pictures in [0, 1]

m, s^2 and sxy are weighted means, variances and the covariance within a window; the value of a
picture is the mean over all windows that lie inside it and over its channels. Equal to
scikit-image's `structural_similarity` with data_range=1, channel_axis=-1 and
  gaussian_weights=True, sigma=1.5, use_sample_covariance=False   for `gaussian_ssim`,
  win_size=size                                                   for `uniform_ssim`.
Papers that report "SSIM" on person pictures mean one of several windows; name it with the number.
Many also take C1 = (.01 R)^2 and C2 = (.03 R)^2 with the range R of the generated picture: see
`own_range`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.metric import Facts, MetricFamily, Score
from repose_jax.evaluation.metrics.picture_batch import PictureBatch

_C1, _C2 = 0.01**2, 0.03**2
_TRUNCATE = 3.5  # standard deviations; with sigma 1.5 the window of 11 of the paper


def gaussian_taps(sigma: float) -> Float[np.ndarray, "taps"]:
    """Weights of a Gaussian window, summing to 1."""
    radius = int(_TRUNCATE * sigma + 0.5)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return taps / taps.sum()


def _band(taps: np.ndarray, length: int) -> np.ndarray:
    """The filter as a matrix, [length - taps + 1, length]: rows are the windows that fit."""
    band = np.zeros((length - len(taps) + 1, length), np.float32)
    for row in range(len(band)):
        band[row, row:row + len(taps)] = taps
    return band


def ssim_maps(
    a: Float[Array, "batch height width channels"],
    b: Float[Array, "batch height width channels"],
    taps: Float[np.ndarray, "taps"],
    sample_covariance: bool,
    data_range: Float[Array, "batch"] | float = 1.0,
) -> tuple[Float[Array, "batch h w channels"], Float[Array, "batch h w channels"]]:
    """The two factors of SSIM in each window: luminance, and contrast with structure.

    Args:
      a, b: pictures in [0, 1].
      taps: weights of the window along a side, summing to 1.
      sample_covariance: (co)variances unbiased, as for a window of equal weights.
      data_range: R of C1 = (.01 R)^2 and C2 = (.03 R)^2, of all pictures or of each.

    Returns:
      (2 mx my + C1) / (mx^2 + my^2 + C1) and (2 sxy + C2) / (sx^2 + sy^2 + C2), for the windows
      inside the picture: h = height - taps + 1.

    Raises:
      ValueError: for shapes that differ or are smaller than the window.
    """
    if a.shape != b.shape:
        raise ValueError(f"pictures of shapes {a.shape} and {b.shape} cannot be compared")
    if min(a.shape[1:3]) < len(taps):
        raise ValueError(f"a window of {len(taps)} does not fit pictures of {a.shape[1:3]}")
    a, b = jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)
    rows, columns = _band(taps, a.shape[1]), _band(taps, a.shape[2])

    # Matrix products, since depthwise convolutions are slow on CPUs; full precision, since
    # accelerators would otherwise round to bfloat16.
    def local_mean(x):
        exact = jax.lax.Precision.HIGHEST
        x = jnp.einsum("oh,bhwc->bowc", rows, x, precision=exact)
        return jnp.einsum("ow,bhwc->bhoc", columns, x, precision=exact)

    # (Co)variances do not see a shift, but E[xy] - E[x]E[y] cancels less once the bulk is gone.
    shift = (a.mean((1, 2), keepdims=True) + b.mean((1, 2), keepdims=True)) / 2
    x, y = a - shift, b - shift
    mx, my = local_mean(x), local_mean(y)
    count = len(taps) ** 2
    unbias = count / (count - 1) if sample_covariance else 1.0
    # sx^2 and sy^2 are needed only in sum.
    spread = unbias * (local_mean(x * x + y * y) - mx * mx - my * my)
    sxy = unbias * (local_mean(x * y) - mx * my)
    mx, my = mx + shift, my + shift
    squared = jnp.square(jnp.asarray(data_range, jnp.float32)).reshape(-1, 1, 1, 1)
    c1, c2 = _C1 * squared, _C2 * squared
    return (2 * mx * my + c1) / (mx * mx + my * my + c1), (2 * sxy + c2) / (spread + c2)


def uniform_taps(size: int) -> Float[np.ndarray, "size"]:
    """Equal weights of a window of odd side `size`, at least 3; ValueError for another."""
    if size % 2 == 0 or size < 3:
        raise ValueError(f"the window's side must be odd and at least 3, not {size}")
    return np.full(size, 1 / size)


def own_range(pictures: Float[Array, "batch height width channels"]) -> Float[Array, "batch"]:
    """Largest minus smallest value of each whole picture, over all channels.

    The `data_range` by which the scripts of GFLA, PIDM, CFLD and MCLD score a generated picture.
    Such a score is not symmetric and is another number than the one with 1.
    """
    return jnp.ptp(jnp.asarray(pictures, jnp.float32), axis=(1, 2, 3))


@functools.partial(jax.jit, static_argnames="sigma")
def gaussian_ssim(
    a: Float[Array, "batch height width channels"],
    b: Float[Array, "batch height width channels"],
    sigma: float = 1.5,
    data_range: Float[Array, "batch"] | float = 1.0,
) -> Float[Array, "batch"]:
    """SSIM with a Gaussian window cut at 3.5 sigma, as Wang et al.

    Args:
      a, b: pictures in [0, 1].
      sigma: of the window in pixels; 1.5 makes 11 x 11 taps.
      data_range: 1 for what the pictures could span, `own_range` of either for what it does span.

    Returns:
      The values; 0 for a range of 0, that of a flat picture, whose covariance with anything is 0.
      scikit-image's formula then divides by the target's variance alone: it gives 0, up to
      rounding, where that varies in every window, and else what 0 / 0 leaves, mostly NaN.

    Raises:
      ValueError: for shapes that differ or are smaller than the window.
    """
    luminance, structure = ssim_maps(a, b, gaussian_taps(sigma), sample_covariance=False,
                                     data_range=data_range)
    return jnp.where(jnp.asarray(data_range) > 0, (luminance * structure).mean((1, 2, 3)), 0)


@functools.partial(jax.jit, static_argnames="size")
def uniform_ssim(
    a: Float[Array, "batch height width channels"],
    b: Float[Array, "batch height width channels"],
    size: int = 7,
) -> Float[Array, "batch"]:
    """SSIM with a square window of equal weights and unbiased (co)variances.

    Args:
      a, b: pictures in [0, 1].
      size: side of the window in pixels, odd: 7, 11 and 51 are in use.

    Raises:
      ValueError: for an even or too small size, shapes that differ or are smaller than the window.
    """
    luminance, structure = ssim_maps(a, b, uniform_taps(size), sample_covariance=True)
    return (luminance * structure).mean((1, 2, 3))


def _scores(by: Instruments) -> Iterator[Score]:
    for sigma in by.sigmas:
        taps = len(gaussian_taps(sigma))
        yield Score("gaussian_ssim" if sigma == 1.5 else f"gaussian_ssim_{sigma:g}",
                    functools.partial(_gaussian, sigma), absent=_unfit(taps, by.size))
        if by.range_of_prediction:
            yield Score(f"gaussian_ssim_{sigma:g}_own_range",
                        functools.partial(_gaussian_of_own_range, sigma),
                        absent=_unfit(taps, by.size))
    for window in by.windows:
        yield Score(f"ssim_{window}", functools.partial(_uniform, window),
                    absent=_unfit(window, by.size))


def _unfit(window: int, size: tuple[int, int]) -> str:
    return f"a window of {window} does not fit a side of {min(size)}" if window > min(size) else ""


def _gaussian(sigma: float, batch: PictureBatch) -> Array:
    return gaussian_ssim(batch.on_devices("generated"), batch.on_devices("target"), sigma=sigma,
                         data_range=1.0)


def _gaussian_of_own_range(sigma: float, batch: PictureBatch) -> Array:
    a, b = batch.on_devices("generated"), batch.on_devices("target")
    return gaussian_ssim(a, b, sigma=sigma, data_range=own_range(a))


def _uniform(window: int, batch: PictureBatch) -> Array:
    return uniform_ssim(batch.on_devices("generated"), batch.on_devices("target"), size=window)


METRIC = MetricFamily("pixels", {
    "gaussian_ssim": Facts("SSIM, Gaussian 1.5", "higher"),
    "gaussian_ssim_*": Facts("SSIM, Gaussian", "higher"),
    "ssim_*": Facts("SSIM, window", "higher")}, _scores)
