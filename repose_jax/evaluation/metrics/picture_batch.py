"""Generated pictures with what they should show, as every metric gets them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Literal

import jax
import numpy as np
from jaxtyping import Bool, Float, UInt8

from repose_jax.common.batching import split
from repose_jax.common.signal import as_unit
from repose_jax.pose.person_mask import person_mask
from repose_jax.pose.skeleton import Skeleton

Which = Literal["generated", "target", "source"]


@dataclasses.dataclass(frozen=True, eq=False)
class PictureBatch:
    """Generated pictures with what they should show; each conversion is made once.

    Attributes:
      generated, target, source: pictures of one size.
      source_pose, target_pose: in pixels of them; every visibility 0 where a pose is not known.
    """

    generated: UInt8[np.ndarray, "batch height width 3"]
    target: UInt8[np.ndarray, "batch height width 3"]
    source: UInt8[np.ndarray, "batch height width 3"]
    source_pose: Float[np.ndarray, "batch joints 3"]
    target_pose: Float[np.ndarray, "batch joints 3"]

    @functools.cached_property
    def _made(self) -> dict:
        return {}

    def _once(self, key, make):
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def unit(self, which: Which) -> Float[np.ndarray, "batch height width 3"]:
        """Pictures in [0, 1], float32."""
        return self._once(("unit", which), lambda: as_unit(getattr(self, which)))

    def on_devices(self, which: Which) -> Float[jax.Array, "batch height width 3"]:
        """`unit`, split over the local devices where that goes evenly."""
        return self._once(("split", which), lambda: split(self.unit(which)))

    def person(self, skeleton: Skeleton) -> Bool[np.ndarray, "batch height width"]:
        """Where the target's person is, from the pose; nowhere where that is not known."""
        return self._once(("person", skeleton.name), lambda: person_mask(
            self.target_pose, skeleton, self.target.shape[1:3]))


Measured = Mapping[str, np.ndarray]
Measure = Callable[[PictureBatch], Measured]
"""Scores by name, [batch], and what is compared over the whole set only, [batch, channels]."""
