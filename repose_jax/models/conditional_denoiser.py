"""What can be sampled: a denoiser of something that stands for a picture, conditioned on a person."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, UInt8

from repose_jax.diffusion.guidance import Branch
from repose_jax.diffusion.prediction import Denoiser
from repose_jax.diffusion.schedule import Schedule


@runtime_checkable
class ConditionalDenoiser(Protocol):
    """Pure functions of parameters; hashable, as it decides the compiled program.

    `RePoseModel` is one, whose signal is the picture itself in [-1, 1] or the latents of a first stage.
    The sampler knows no more of any than this.

    Attributes:
      schedule: the forward process of the signal.
      bounded: whether the signal lies in [-1, 1], so that what is predicted may be clipped to it.
    """

    @property
    def schedule(self) -> Schedule: ...

    @property
    def bounded(self) -> bool: ...

    def encode(
        self, params: Any, pictures: UInt8[Array, "batch height width 3"]
    ) -> Float[Array, "batch h w c"]:
        """Pictures to the signal that is diffused."""

    def pictures(
        self, params: Any, signal: Float[Array, "batch h w c"]
    ) -> Float[Array, "batch height width 3"]:
        """The signal as pictures in [-1, 1], by which it is guided: gradients pass through this."""

    def decode(
        self, params: Any, signal: Float[Array, "batch h w c"]
    ) -> UInt8[Array, "batch height width 3"]:
        """`pictures`, rounded to 8 bits."""

    def guided_denoisers(
        self,
        params: Any,
        source: Float[Array, "batch h w c"],
        source_pose: Float[Array, "batch joints 3"],
        target_pose: Float[Array, "batch joints 3"],
        *coefficients: dict[Branch, float],
    ) -> tuple[tuple[Denoiser, ...], Float[Array, "batch h w c"]]:
        """The denoiser under each of several classifier-free guidances, the conditions made once.

        Args:
          params: parameters.
          source: signal of the source picture.
          source_pose, target_pose: pixels of the picture.
          coefficients: one or more, from `guidance.two_branch` or `guidance.disentangled`.

        Returns:
          (the denoisers, the signal that sampling may begin with).
        """
