"""Multi-scale structural similarity (Wang, Simoncelli, Bovik 2003), a value per picture.

  MS-SSIM = l_M^w_M prod_j cs_j^w_j,   w = .0448, .2856, .3001, .2363, .1333     (equation 7)

cs_j is the mean of contrast times structure at scale j (`ssim_maps`, Gaussian window of 11, windows
inside the picture), l_M the luminance of the coarsest, which goes with its contrast and structure
into one mean; a scale is the one before, averaged over 2 x 2 pixels (an odd row or column at the
end is left out). Channels are taken on their own, a negative mean counts as 0, and the value is
the mean over channels.

Equal to `pytorch_msssim.ms_ssim(data_range=1, size_average=False)` where sides are multiples of 16;
that pads odd sides with zeros instead. torchmetrics gives another value (1.9: it mirrors the
coarsest scale over its border, and takes channels together).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from einops import reduce
from jaxtyping import Array, Float

from repose_jax.evaluation.metrics.instruments import Instruments
from repose_jax.evaluation.metrics.metric import Facts, MetricFamily, Score
from repose_jax.evaluation.metrics.ssim import gaussian_taps, ssim_maps

_WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333], np.float32)
_SIGMA = 1.5
MAX_SCALES = len(_WEIGHTS)


def ms_ssim_name(scales: int = MAX_SCALES) -> str:
    """The name to report the number under: "ms-ssim", or "ms-ssim-3" for fewer scales than 5."""
    return "ms-ssim" if scales == MAX_SCALES else f"ms-ssim-{scales}"


def scale_weights(scales: int) -> Float[np.ndarray, "scales"]:
    """The published weights of the finest scales, divided by their sum where they are not all 5.

    Raises:
      ValueError: for a number of scales outside 1 .. 5.
    """
    if not 1 <= scales <= MAX_SCALES:
        raise ValueError(f"MS-SSIM has 1 to {MAX_SCALES} scales, not {scales}")
    return _WEIGHTS if scales == MAX_SCALES else _WEIGHTS[:scales] / _WEIGHTS[:scales].sum()


def _halve(x: Array) -> Array:
    even = x[:, :x.shape[1] // 2 * 2, :x.shape[2] // 2 * 2]
    return reduce(even, "b (h p) (w q) c -> b h w c", "mean", p=2, q=2)


@functools.partial(jax.jit, static_argnames="scales")
def ms_ssim(
    a: Float[Array, "batch height width channels"],
    b: Float[Array, "batch height width channels"],
    scales: int = MAX_SCALES,
) -> Float[Array, "batch"]:
    """MS-SSIM with the Gaussian window of Wang et al. (sigma 1.5, 11 taps).

    Args:
      a, b: pictures in [0, 1].
      scales: 5 as published, for which both sides must be at least 176. With fewer the weights are
        those of the finest scales, scaled to sum to 1, so the number is not comparable with the
        published one; `ms_ssim_name` says so. Pictures of 128 x 64 allow 3.

    Raises:
      ValueError: for shapes that differ, or a coarsest scale smaller than the window.
    """
    weights, taps = scale_weights(scales), gaussian_taps(_SIGMA)
    smallest = min(a.shape[1:3]) >> (scales - 1)
    if smallest < len(taps):
        raise ValueError(
            f"pictures of {a.shape[1:3]} are {smallest} wide or high at the last of {scales} "
            f"scales, less than the window of {len(taps)}; take fewer scales")
    a, b = jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)
    value: Array | float = 1.0
    for scale, weight in enumerate(weights):
        luminance, structure = ssim_maps(a, b, taps, sample_covariance=False)
        coarsest = scale == scales - 1
        mean = (luminance * structure if coarsest else structure).mean((1, 2))
        value *= jnp.maximum(mean, 0) ** weight
        if not coarsest:
            a, b = _halve(a), _halve(b)
    return jnp.mean(value, -1)


def _scores(by: Instruments) -> Iterator[Score]:
    window = len(gaussian_taps(_SIGMA))
    fitting = (n for n in range(MAX_SCALES, 1, -1) if min(by.size) >> (n - 1) >= window)
    if scales := next(fitting, 0):
        yield Score(ms_ssim_name(scales).replace("-", "_"), lambda batch: ms_ssim(
            batch.on_devices("generated"), batch.on_devices("target"), scales=scales))


METRIC = MetricFamily("pixels", {"ms_ssim*": Facts("MS-SSIM", "higher")}, _scores)
