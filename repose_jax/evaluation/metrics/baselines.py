"""What a model must beat: pictures that anybody could give for the target without any model.

All take and give pictures in [0, 1]. SSIM alone prefers the blurred and the mean picture to real
photos of the same person, which is why no table of this project stands without them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped
from PIL import Image, ImageFilter

from repose_jax.common.signal import as_unit
from repose_jax.networks.warp import warp
from repose_jax.pose.flow import skeleton_flow
from repose_jax.pose.maps import person_map
from repose_jax.pose.skeleton import Skeleton

COPY = "copy of the source"
ALIGNED = "aligned source"
BLUR_SIGMA = 6.0


def mean_image(
    images: Iterable[Shaped[np.ndarray, "height width 3"]],
) -> Float[np.ndarray, "height width 3"]:
    """The mean of pictures (the training split's), summed in float64; ValueError for none."""
    total, count = None, 0
    for image in images:
        image = as_unit(image).astype(np.float64)
        total = image if total is None else total + image
        count += 1
    if total is None:
        raise ValueError("the mean of no picture")
    return (total / count).astype(np.float32)


def blurred(
    images: Shaped[np.ndarray, "n height width 3"], sigma: float = BLUR_SIGMA,
) -> Float[np.ndarray, "n height width 3"]:
    """Pictures blurred by Pillow's GaussianBlur (three box filters, edges extended, uint8).

    The true Gaussian differs in the third digit of the scores.
    """
    eight_bit = (as_unit(images) * 255 + 0.5).astype(np.uint8)
    out = [Image.fromarray(i).filter(ImageFilter.GaussianBlur(sigma)) for i in eight_bit]
    return as_unit(np.stack([np.asarray(image) for image in out]))


def aligned_sources(
    sources: Shaped[np.ndarray, "n height width 3"],
    source_poses: Float[np.ndarray, "n joints 3"],
    target_poses: Float[np.ndarray, "n joints 3"],
    skeleton: Skeleton,
) -> Float[np.ndarray, "n height width 3"]:
    """The sources under the skeleton flow: an alignment in closed form, nothing learnt."""
    unit, size = as_unit(sources), sources.shape[1:3]
    out = [_aligned(unit[start:start + 64], source_poses[start:start + 64],
                    target_poses[start:start + 64], skeleton, size)
           for start in range(0, len(unit), 64)]
    return np.concatenate([np.asarray(some) for some in out])


@functools.partial(jax.jit, static_argnums=(3, 4))
def _aligned(sources, source_poses, target_poses, skeleton, size):
    return warp(sources, skeleton_flow(source_poses, target_poses, skeleton, size, size))


def aligned_baselines(
    batch: Mapping[str, np.ndarray],
    skeleton: Skeleton,
    mean: Float[np.ndarray, "height width 3"],
) -> dict[str, Float[np.ndarray, "n height width 3"]]:
    """What the alignment alone gives, by name: the aligned source, and that cut out over the mean.

    Args:
      batch: "source", "source_pose", "target_pose" as `examples` gives them.
      skeleton: of the poses.
      mean: the mean training image, the background of the second.
    """
    aligned = aligned_sources(
        batch["source"], batch["source_pose"], batch["target_pose"], skeleton)
    target_poses = jnp.asarray(batch["target_pose"])
    person = np.asarray(person_map(target_poses, skeleton, aligned.shape[1:3]))
    return {ALIGNED: aligned,
            f"{ALIGNED} over the mean": person * aligned + (1 - person) * as_unit(mean)}


def trivial_baselines(
    sources: Shaped[np.ndarray, "n height width 3"],
    mean: Float[np.ndarray, "height width 3"],
) -> dict[str, Float[np.ndarray, "n height width 3"]]:
    """The three baselines by name, for sources in uint8 or [0, 1] and the mean training image."""
    unit = as_unit(sources)
    return {
        COPY: unit,
        "mean training image": np.broadcast_to(as_unit(mean), unit.shape),
        f"source blurred, sigma {BLUR_SIGMA:g}": blurred(sources),
    }
