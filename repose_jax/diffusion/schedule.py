"""Noise schedules of the forward process (docs/method.md, equation 1).

  y_t = sqrt(abar_t) y_0 + sqrt(1 - abar_t) e,   e ~ N(0, I),   t = 0 .. T-1

t counts from 0, the least noise, as the released code of PIDM does. Tables are computed in float64.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from repose_jax.common.errors import UserError
from repose_jax.common.ranges import Range, check_fields


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """A discrete schedule.

    Attributes:
      kind: "linear": beta from 1e-4 to 2e-2 (Ho et al. 2020, PIDM), rescaled by 1000 / T;
        "cosine": abar = cos^2 (Nichol & Dhariwal 2021), beta at most 0.999.
      steps: T.
    """

    kind: Literal["linear", "cosine"] = "linear"
    steps: Annotated[int, Range(2, 100_000)] = 1000

    def __post_init__(self):
        check_fields(self, "model.schedule")
        if self.kind == "linear" and self.steps < 21:  # the last beta would exceed 1
            raise UserError("model.schedule.steps", f"is {self.steps}", "give 21 to 100000")

    def alpha_bars(self) -> np.ndarray:
        """The table abar_0 .. abar_{T-1}, [T] float64, decreasing."""
        if self.kind == "linear":
            scale = 1000 / self.steps
            betas = np.linspace(scale * 1e-4, scale * 2e-2, self.steps)
        else:
            u = np.arange(self.steps + 1) / self.steps
            abar = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
            betas = np.minimum(1 - abar[1:] / abar[:-1], 0.999)
        return np.cumprod(1 - betas)

    def alpha_bar(self, t: Int[Array, "batch"]) -> Float[Array, "batch 1 1 1"]:
        """abar_t, shaped to multiply pictures; t = -1 is the clean picture, abar = 1."""
        table = jnp.asarray(np.concatenate([self.alpha_bars(), [1.0]]), jnp.float32)
        return table[t][:, None, None, None]

    def noised(
        self,
        y0: Float[Array, "batch h w c"],
        noise: Float[Array, "batch h w c"],
        t: Int[Array, "batch"],
    ) -> Float[Array, "batch h w c"]:
        """y_t of the forward process."""
        abar = self.alpha_bar(t)
        return jnp.sqrt(abar) * y0 + jnp.sqrt(1 - abar) * noise

    def up_to(self, noise: float) -> int:
        """How many time steps, from 0 on, have at most this share of noise, 1 - abar; at least 1."""
        return max(1, int(np.searchsorted(1 - self.alpha_bars(), noise, side="right")))

    def spaced(self, count: int, start: float = 1.0) -> np.ndarray:
        """Time steps from the noisiest down to 0, evenly spaced.

        Args:
          count: how many.
          start: largest share of noise, 1 - abar, to begin with; 1 begins at T-1.

        Returns:
          [count] int32, decreasing.

        Raises:
          ValueError: if there are not as many time steps.
        """
        last = self.up_to(start)
        if not 1 <= count <= last:
            raise ValueError(f"steps must be between 1 and {last}, not {count}")
        return np.linspace(last - 1, 0, count).round().astype(np.int32)
