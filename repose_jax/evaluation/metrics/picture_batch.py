"""Generated pictures with what they should show, as every metric gets them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Hashable
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

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
      skeleton: of the poses.
      pairs: numbers of source and target among the pictures of the data; None where they are of
        none.
    """

    generated: UInt8[np.ndarray, "batch height width 3"]
    target: UInt8[np.ndarray, "batch height width 3"]
    source: UInt8[np.ndarray, "batch height width 3"]
    source_pose: Float[np.ndarray, "batch joints 3"]
    target_pose: Float[np.ndarray, "batch joints 3"]
    skeleton: Skeleton
    pairs: Int[np.ndarray, "batch 2"] | None = None

    def __len__(self) -> int:
        return len(self.generated)

    @functools.cached_property
    def _made(self) -> dict:
        return {}

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` gives, made for the first metric that asks for it under a key."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def unit(self, which: Which) -> Float[np.ndarray, "batch height width 3"]:
        """Pictures in [0, 1], float32."""
        return self.once(("unit", which), lambda: as_unit(getattr(self, which)))

    def on_devices(
        self, which: Which, size: tuple[int, int] | None = None
    ) -> Float[jax.Array, "batch h w 3"]:
        """Pictures in [0, 1] at a size (None is their own), split over the local devices.

        See `at_size`; what does not split evenly is on one device.
        """
        if size is None or tuple(size) == self.generated.shape[1:3]:
            return self.once(("split", which), lambda: split(self.unit(which)))
        return self.once(("split", which, size), lambda: split(as_unit(self.at_size(which, size))))

    def at_size(
        self, which: Which, size: tuple[int, int] | None
    ) -> UInt8[np.ndarray, "batch h w 3"]:
        """Pictures at a (height, width), see the function `at_size`."""
        return self.once(("size", which, size), lambda: at_size(getattr(self, which), size))

    def pose(self, which: Which) -> Float[np.ndarray, "batch joints 3"]:
        """The pose that a picture shows, or should show."""
        return self.source_pose if which == "source" else self.target_pose

    def person(self) -> Bool[np.ndarray, "batch height width"]:
        """Where the target's person is, from the pose; nowhere where that is not known."""
        return self.once("person", lambda: person_mask(
            self.target_pose, self.skeleton, self.target.shape[1:3]))


def at_size(
    pictures: UInt8[np.ndarray, "batch height width 3"], size: tuple[int, int] | None
) -> UInt8[np.ndarray, "batch h w 3"]:
    """Pictures by bilinear interpolation without antialiasing, as OpenCV's resize, in 8 bits."""
    if size is None or tuple(pictures.shape[1:3]) == tuple(size):
        return pictures
    shape = (len(pictures), *size, 3)
    found = jax.image.resize(pictures.astype(np.float32), shape, "linear", antialias=False)
    return np.clip(np.rint(np.asarray(found)), 0, 255).astype(np.uint8)
