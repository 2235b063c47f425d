"""Is the garment's detail kept, or painted smooth?

  detail = root mean square over the torso of picture - blurred picture

Blurred by a Gaussian of 2 % of the picture's height, so that light and shade drop out and print,
folds and seams stay. A picture that keeps the source's detail has a ratio near 1; a smear, far
below. The ratio does not say that the detail is the right one.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageFilter

from repose_jax.common.signal import as_unit
from repose_jax.evaluation.metrics.metric import Metric
from repose_jax.evaluation.metrics.picture_batch import PictureBatch
from repose_jax.evaluation.metrics.torso_color import MIN_PIXELS, torso_mask
from repose_jax.pose.skeleton import Skeleton

_SIGMA = 0.02  # of the picture's height
_TINY = 1e-4


def torso_detail(
    images: Float[np.ndarray, "n height width 3"],
    poses: Float[np.ndarray, "n joints 3"],
    skeleton: Skeleton,
) -> Float[np.ndarray, "n"]:
    """Detail of each picture's torso, in units of the full range; NaN without a visible torso.

    Args:
      images: uint8 or in [0, 1].
      poses: in pixels of these pictures.
      skeleton: of the poses.
    """
    images = as_unit(images)
    size = images.shape[1:3]
    blur = ImageFilter.GaussianBlur(_SIGMA * size[0])
    found = np.full(len(images), np.nan)
    masks = torso_mask(poses, skeleton, size)
    for i in np.flatnonzero(masks.sum((1, 2)) >= MIN_PIXELS):
        eight_bit = Image.fromarray((images[i] * 255 + 0.5).astype(np.uint8))
        smooth = as_unit(np.asarray(eight_bit.filter(blur)))
        found[i] = np.sqrt(np.square(images[i] - smooth)[masks[i]].mean())
    return found


def detail_kept(
    source: Float[np.ndarray, "n"], generated: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    """The generated picture's detail over the source's."""
    return (generated + _TINY) / (source + _TINY)


def _kept(batch: PictureBatch) -> np.ndarray:
    source, generated = (torso_detail(pictures, poses, batch.skeleton) for pictures, poses in (
        (batch.source, batch.source_pose), (batch.generated, batch.target_pose)))
    return detail_kept(source, generated)


METRIC = Metric("detail", "torso's detail kept (ratio)", "neither", _kept, digits=2,
                beside="source", group="colour")
