"""The source's own head laid over a picture (docs/method.md, 33).

A head that both poses show from the same side needs no painting: it is moved as a whole, at whatever
resolution the photo has.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from repose_jax.common.signal import to_image, to_signal
from repose_jax.networks.warp import warp
from repose_jax.pose.cells import in_cells
from repose_jax.pose.head import rigid_head
from repose_jax.pose.skeleton import Skeleton

AnyArray = Array | np.ndarray


@functools.partial(jax.jit, static_argnames=("skeleton", "times"))
def with_own_head(
    pictures: UInt8[AnyArray, "batch h w 3"],
    source: UInt8[AnyArray, "batch h w 3"],
    source_pose: Float[AnyArray, "batch joints 3"],
    target_pose: Float[AnyArray, "batch joints 3"],
    share: float | Float[Array, ""],
    *,
    skeleton: Skeleton,
    times: int = 1,
) -> UInt8[Array, "batch h w 3"]:
    """The pictures with the source's head where both poses show the same side of it.

    Args:
      pictures: what was painted.
      source: the photos, of the same size.
      source_pose, target_pose: pixels of pictures so many `times` smaller.
      share: how much of the head is the source's, in [0, 1].
      skeleton: of the poses, one that `has_face`.
      times: see above.
    """
    painted, photo = (to_signal(jnp.asarray(x)) for x in (pictures, source))
    size = photo.shape[1], photo.shape[2]
    there, here = (in_cells(jnp.asarray(pose), 1 / times) for pose in (source_pose, target_pose))
    head = rigid_head(there, here, skeleton, size)
    laid = share * head.share
    return to_image((1 - laid) * painted + laid * warp(photo, head.flow))
