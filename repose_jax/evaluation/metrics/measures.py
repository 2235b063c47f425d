"""What is measured on each generated picture: groups of scores, a value a picture and score.

A measure is a function from a batch to arrays by name, [batch] for a score and [batch, channels]
for what is only compared over the whole set, such as colours. NaN says that a picture could not be
measured. Batches are of one size, so that each measure compiles once, and are split over the local
devices where that goes evenly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import UInt8

from repose_jax.common.batching import split
from repose_jax.common.signal import as_unit
from repose_jax.evaluation.metrics.lpips import Lpips
from repose_jax.evaluation.metrics.mae import mae as relative_error
from repose_jax.evaluation.metrics.masked import inside_l1, mask_gaussian_ssim
from repose_jax.evaluation.metrics.ms_ssim import MAX_SCALES, ms_ssim, ms_ssim_name
from repose_jax.evaluation.metrics.picture_batch import Measure, Measured, PictureBatch
from repose_jax.evaluation.metrics.pose_accuracy import leaked, pck, pose_error
from repose_jax.evaluation.metrics.psnr import psnr
from repose_jax.evaluation.metrics.ssim import gaussian_ssim, gaussian_taps, own_range, uniform_ssim
from repose_jax.evaluation.metrics.torso_color import torso_color
from repose_jax.pose.skeleton import Skeleton


_MS_SSIM_WINDOW = 11


def reconstruction(
    size: tuple[int, int], windows: Sequence[int] = (7, 11, 51), sigmas: Sequence[float] = (1.5,),
    *, range_of_prediction: bool = False, mae: bool = False,
) -> tuple[Measure, list[str]]:
    """Pixels against the target's: SSIM of each kind, MS-SSIM of the scales that fit, PSNR.

    Args:
      size: (height, width) of the pictures.
      windows: sides of SSIM's uniform windows.
      sigmas: of its Gaussian windows; 1.5 is called gaussian_ssim, others carry their sigma.
      range_of_prediction: also the Gaussian SSIM with the generated picture's own range in the
        place of 1, called gaussian_ssim_<sigma>_own_range, whatever sigma is.
      mae: also the "mae" of `repose_jax.evaluation.metrics.mae`.

    Returns:
      The measure, and a sentence for each score that does not fit pictures of this size. PSNR is
      NaN for a picture equal to its target.
    """
    fitting = [w for w in windows if w <= min(size)]
    taps = {s: len(gaussian_taps(s)) for s in sigmas}
    ranges = (False, True) if range_of_prediction else (False,)
    names = {(s, own): _gaussian_name(s, own) for s in sigmas for own in ranges}
    left_out = [f"ssim_{w}: a window of {w} does not fit a side of {min(size)}"
                for w in windows if w not in fitting]
    left_out += [f"{name}: a window of {taps[s]} does not fit a side of {min(size)}"
                 for (s, _), name in names.items() if taps[s] > min(size)]
    scales = next((n for n in range(MAX_SCALES, 1, -1)
                   if min(size) >> (n - 1) >= _MS_SSIM_WINDOW), 0)

    def measure(batch: PictureBatch) -> Measured:
        a, b = batch.on_devices("generated"), batch.on_devices("target")
        nothing = np.full(len(a), np.nan)
        found = {name: gaussian_ssim(a, b, sigma=s, data_range=own_range(a) if own else 1.0)
                 if taps[s] <= min(size) else nothing for (s, own), name in names.items()}
        found |= {f"ssim_{w}": uniform_ssim(a, b, size=w) if w in fitting else nothing
                  for w in windows}
        if scales:
            found[ms_ssim_name(scales).replace("-", "_")] = ms_ssim(a, b, scales=scales)
        decibels = np.asarray(psnr(a, b), np.float64)
        found["psnr"] = np.where(np.isfinite(decibels), decibels, np.nan)
        return found | ({"mae": relative_error(a, b)} if mae else {})

    return measure, left_out


def _gaussian_name(sigma: float, own: bool) -> str:
    if own:
        return f"gaussian_ssim_{sigma:g}_own_range"
    return "gaussian_ssim" if sigma == 1.5 else f"gaussian_ssim_{sigma:g}"


def torso(skeleton: Skeleton) -> Measure:
    """Mean colours of the torso of source, generated picture and target, [batch, 3] each.

    Called torso_<region>_<picture>; see `repose_jax.evaluation.metrics.torso_color`.
    """

    def measure(batch: PictureBatch) -> Measured:
        found = {}
        for region in ("quadrilateral", "box"):
            for name, pictures, poses in (
                    ("source", batch.unit("source"), batch.source_pose),
                    ("generated", batch.unit("generated"), batch.target_pose),
                    ("target", batch.unit("target"), batch.target_pose)):
                color, valid = torso_color(pictures, poses, skeleton, region=region)
                found[f"torso_{region}_{name}"] = np.where(valid[:, None], color, np.nan)
        return found

    return measure


def pose(read_poses: Callable[[np.ndarray], np.ndarray]) -> Measure:
    """Distance of the pose that is read off the picture to the target's and to the source's.

    Args:
      read_poses: uint8 pictures to the poses in them, NaN for a joint that was not found: it is
        missed within 5 and 10 %, and is left out of the distances.
    """

    def measure(batch: PictureBatch) -> Measured:
        found, height = read_poses(batch.generated), batch.generated.shape[1]
        seen = np.isfinite(found[..., :1])
        there, source, target = np.where(seen, found, 0), batch.source_pose, batch.target_pose
        return {"pose_error": pose_error(there, target * seen, height),
                "pck_5": pck(found, target, height, 0.05),
                "pck_10": pck(found, target, height, 0.10),
                "leakage": leaked(there, target * seen, source, height)}

    return measure


def perceptual(lpips: Lpips, size: tuple[int, int] | None = None) -> Measure:
    """LPIPS to the target, under its own name; pictures are brought to `size` first."""

    def measure(batch: PictureBatch) -> Measured:
        a, b = (split(as_unit(at_size(pictures, size))) for pictures in (batch.generated, batch.target))
        return {lpips.name: np.asarray(lpips(a, b))}

    return measure


def masked_perceptual(lpips: Lpips, skeleton: Skeleton) -> Measure:
    """LPIPS of the person alone, mask-<name>, as GFLA's script has it for Market-1501.

    It multiplies pictures in [-1, 1] by the mask, so that what lies outside of it is not black but
    mid-grey. Its mask, of 18 joints with discs and rectangles of radius 4, is not quite that of
    `person_mask`, less so for a skeleton of fewer joints. NaN where the target pose says nothing of
    where the person is.
    """

    def measure(batch: PictureBatch) -> Measured:
        mask = batch.person(skeleton)
        a, b = (split(np.where(mask[..., None], batch.unit(which), np.float32(0.5)))
                for which in ("generated", "target"))
        return {f"mask-{lpips.name}": np.where(mask.any((1, 2)), lpips(a, b), np.nan)}

    return measure


def masked(skeleton: Skeleton) -> Measure:
    """SSIM and L1 of the person alone; see `repose_jax.evaluation.metrics.masked`.

    NaN where the target pose says nothing of where the person is.
    """

    def measure(batch: PictureBatch) -> Measured:
        mask = batch.person(skeleton)
        known = mask.any((1, 2))
        a, b = batch.on_devices("generated"), batch.on_devices("target")
        mask = split(mask.astype(np.float32))
        scores = {"mask_gaussian_ssim": mask_gaussian_ssim(a, b, mask),
                  "inside_l1": inside_l1(a, b, mask)}
        return {name: np.where(known, np.asarray(value, np.float64), np.nan)
                for name, value in scores.items()}

    return measure


def at_size(
    pictures: UInt8[np.ndarray, "batch height width 3"], size: tuple[int, int] | None
) -> UInt8[np.ndarray, "batch h w 3"]:
    """Pictures by bilinear interpolation without antialiasing, as OpenCV's resize, in 8 bits."""
    if size is None or tuple(pictures.shape[1:3]) == tuple(size):
        return pictures
    shape = (len(pictures), *size, 3)
    found = jax.image.resize(pictures.astype(np.float32), shape, "linear", antialias=False)
    return np.clip(np.rint(np.asarray(found)), 0, 255).astype(np.uint8)


def extracted(name: str, extract: Callable[[np.ndarray], np.ndarray]) -> Measure:
    """Features of the generated picture under a name, for what compares sets or people."""
    return lambda batch: {name: extract(batch.generated)}
