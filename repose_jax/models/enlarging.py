"""A painted picture at the resolution of its photo (docs/method.md, 32).

What the painter keeps of the source it keeps by a flow and by shares of each pixel, both smooth.
Enlarged, they fetch the photo's own pixels, and the larger picture gets the texture that the model's
size cannot hold, without a network of that size. What was painted anew stays as soft as it is.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from repose_jax.common.signal import to_image, to_signal
from repose_jax.models.pose_transfer import Params, RePoseModel
from repose_jax.networks.fill import fill_in
from repose_jax.networks.place import shows_person, shows_place, without_person
from repose_jax.networks.warp import resize, warp
from repose_jax.pose.cells import in_cells

LARGEST = 8
"""Times the model's size that a picture can be."""

AnyArray = Array | np.ndarray


@functools.partial(jax.jit, static_argnums=0)
def enlarged(
    model: RePoseModel,
    params: Params,
    painted: UInt8[AnyArray, "batch h w 3"],
    source: UInt8[AnyArray, "batch h w 3"],
    large: UInt8[AnyArray, "batch h2 w2 3"],
    source_pose: Float[AnyArray, "batch joints 3"],
    target_pose: Float[AnyArray, "batch joints 3"],
) -> UInt8[Array, "batch h2 w2 3"]:
    """The painted pictures with what `large` shows more than `source` where the painter kept it.

    Args:
      model: with a painter.
      params: its parameters.
      painted: pictures of the model, painted or refined from what follows.
      source: the sources in the model's size.
      large: the same in a whole number of times that size.
      source_pose, target_pose: pixels of the model's size.

    Returns:
      Pictures of the size of `large`.
    """
    times, size = large.shape[1] // source.shape[1], (large.shape[1], large.shape[2])
    coarse, fine = to_signal(jnp.asarray(source)), to_signal(jnp.asarray(large))
    # What is made anew below is to be what the painter saw.
    pose = model.network.completed(jnp.asarray(source_pose), (source.shape[1], source.shape[2]))
    painting, alignment = model.paint(params, coarse, pose, jnp.asarray(target_pose))

    def up(x: Float[Array, "batch h w c"]) -> Float[Array, "batch h2 w2 c"]:
        return resize(x, size)

    painter, skeleton = model.config.network.painter, model.network.skeleton
    person = fine
    if model.config.network.rpa.spread:
        person = fill_in(fine, up(shows_person(coarse, pose, skeleton)))
    picture = up(to_signal(jnp.asarray(painted)))
    picture += up(painting.mask) * (warp(person, up(alignment.flow)) - up(alignment.picture))
    if painter.scene:
        shown = larger = 1.0
        if painter.scene_by_color:
            shown = shows_place(coarse, pose, skeleton)
            larger = up(shown)
        place = without_person(coarse, pose, skeleton, shown)
        more = without_person(fine, in_cells(pose, 1 / times), skeleton, larger) - up(place)
        picture += up(painting.scene) * more
    return to_image(picture)
