"""Scores of the person alone: SSIM, L1 and PSNR with a mask, in the two ways there are.

`mask_*`: both pictures are multiplied by the mask, then compared as a whole. This is the mask-SSIM
of Ma et al. 2017 (PG2, there with SSIM's window of 7, `mask_uniform_ssim`), Siarohin et al. 2018
(Deformable GANs) and Zhu et al. 2019 (PATN; both with the Gaussian window, `mask_gaussian_ssim`);
all take the mask from the target's pose, see `person_mask`. The black that both pictures share
counts as a perfect match, so the number grows as the person gets smaller. Two things in their
scripts are not repeated here: the products of 8-bit pictures are cut to integers (PG2), and the
range of the values is that of the generated picture instead of [0, 1] (Deformable GANs, PATN).

`inside_*`: pictures are compared as they are and the error, or the map of SSIM, is averaged over
the mask only, so that the background weighs nothing, but for the part of a window of SSIM that
reaches out of the mask. No paper on person pictures known to us reports these; do not set them
beside published mask-SSIMs.

A mask is [batch, height, width] in [0, 1], 1 on the person.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from repose_jax.common.batching import split
from repose_jax.evaluation.metrics.l1 import l1
from repose_jax.evaluation.metrics.metric import Facts, MetricFamily, Score
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.metrics.psnr import psnr
from repose_jax.evaluation.metrics.ssim import (
    gaussian_ssim, gaussian_taps, ssim_maps, uniform_ssim, uniform_taps)
from repose_jax.pose.head import head_map

Pictures = Float[Array, "batch height width channels"]
Mask = Float[Array, "batch height width"]
Values = Float[Array, "batch"]


def _check(a: Array, b: Array, mask: Array) -> None:
    if a.shape != b.shape or mask.shape != a.shape[:3]:
        raise ValueError(f"pictures of shapes {a.shape} and {b.shape} and a mask of {mask.shape} "
                         "do not belong together")


def blackened(a: Pictures, b: Pictures, mask: Mask) -> tuple[Pictures, Pictures]:
    """Both pictures times the mask; ValueError for shapes that do not belong together."""
    _check(a, b, mask)
    return a * mask[..., None], b * mask[..., None]


def mask_gaussian_ssim(a: Pictures, b: Pictures, mask: Mask, sigma: float = 1.5) -> Values:
    """`gaussian_ssim` of the blackened pictures: mask-SSIM of Deformable GANs and PATN."""
    return gaussian_ssim(*blackened(a, b, mask), sigma=sigma)


def mask_uniform_ssim(a: Pictures, b: Pictures, mask: Mask, size: int = 7) -> Values:
    """`uniform_ssim` of the blackened pictures: with a window of 7 mask-SSIM of PG2."""
    return uniform_ssim(*blackened(a, b, mask), size=size)


def mask_l1(a: Pictures, b: Pictures, mask: Mask) -> Values:
    """`l1` of the blackened pictures; the mean runs over all pixels, black ones too."""
    return l1(*blackened(a, b, mask))


def mask_psnr(a: Pictures, b: Pictures, mask: Mask) -> Values:
    """`psnr` of the blackened pictures; the mean runs over all pixels, black ones too."""
    return psnr(*blackened(a, b, mask))


def _mean_inside(values: Array, mask: Array) -> Array:
    """Mean over the mask and all channels; 0 / 0 = NaN where the mask is empty."""
    return (values.mean(-1) * mask).sum((1, 2)) / mask.sum((1, 2))


def _inside_ssim(a: Array, b: Array, mask: Array, taps: np.ndarray, unbiased: bool) -> Array:
    _check(a, b, mask)
    luminance, structure = ssim_maps(a, b, taps, sample_covariance=unbiased)
    margin = len(taps) // 2
    centres = mask[:, margin:mask.shape[1] - margin, margin:mask.shape[2] - margin]
    return _mean_inside(luminance * structure, centres)


@functools.partial(jax.jit, static_argnames="sigma")
def inside_gaussian_ssim(a: Pictures, b: Pictures, mask: Mask, sigma: float = 1.5) -> Values:
    """Mean of the map of `gaussian_ssim` over the windows whose centre is in the mask.

    NaN where no such window lies inside the picture.
    """
    return _inside_ssim(a, b, mask, gaussian_taps(sigma), False)


@functools.partial(jax.jit, static_argnames="size")
def inside_uniform_ssim(a: Pictures, b: Pictures, mask: Mask, size: int = 7) -> Values:
    """Mean of the map of `uniform_ssim` over the windows whose centre is in the mask.

    NaN where no such window lies inside the picture.
    """
    return _inside_ssim(a, b, mask, uniform_taps(size), True)


@jax.jit
def inside_l1(a: Pictures, b: Pictures, mask: Mask) -> Values:
    """Mean of |a - b| over the mask; NaN where it is empty."""
    _check(a, b, mask)
    return _mean_inside(jnp.abs(a - b), mask)


@jax.jit
def inside_psnr(a: Pictures, b: Pictures, mask: Mask) -> Values:
    """10 log10(1 / mse) with the error averaged over the mask; NaN where it is empty."""
    _check(a, b, mask)
    return -10 * jnp.log10(_mean_inside(jnp.square(a - b), mask))


def _of_person(compare: Callable[[Pictures, Pictures, Mask], Values], batch: PictureBatch
               ) -> np.ndarray:
    """NaN where the target pose says nothing of where the person is."""
    person = batch.person()
    mask = batch.once("split person", lambda: split(person.astype(np.float32)))
    values = compare(batch.on_devices("generated"), batch.on_devices("target"), mask)
    return np.where(person.any((1, 2)), np.asarray(values, np.float64), np.nan)


def _head_l1(batch: PictureBatch) -> np.ndarray:
    """NaN where the target pose says nothing of where the head is, or it lies outside."""
    pose, size = jnp.asarray(batch.target_pose), batch.target.shape[1:3]
    head = split(np.asarray(head_map(pose, batch.skeleton, size))[..., 0])
    values = inside_l1(batch.on_devices("generated"), batch.on_devices("target"), head)
    return np.asarray(values, np.float64)


METRIC = MetricFamily("person", {
    "mask_gaussian_ssim": Facts("SSIM of the person, Gaussian 1.5", "higher", decides=True),
    "inside_l1": Facts("L1 within the person", "lower", decides=True),
    "head_l1": Facts("L1 within the head", "lower")}, lambda by: [
        Score("mask_gaussian_ssim", functools.partial(_of_person, mask_gaussian_ssim)),
        Score("inside_l1", functools.partial(_of_person, inside_l1)),
        Score("head_l1", _head_l1, unmeasured="pairs whose target pose shows no head")])
