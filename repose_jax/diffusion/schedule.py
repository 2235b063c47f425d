"""Noise schedules of the forward process (docs/method.md, equation 1).

  y_t = sqrt(abar_t) y_0 + sqrt(1 - abar_t) e,   e ~ N(0, I),   t = 0 .. T-1

t counts from 0, the least noise, as the released code of PIDM does. Tables are computed in float64.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """A discrete schedule.

    Attributes:
      kind: "linear": beta from 1e-4 to 2e-2 (Ho et al. 2020, PIDM), rescaled by 1000 / T;
        "cosine": abar = cos^2 (Nichol & Dhariwal 2021), beta at most 0.999.
      steps: T.
    """

    kind: Literal["linear", "cosine"] = "linear"
    steps: int = 1000

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

    def spaced(self, count: int) -> np.ndarray:
        """`count` time steps from T-1 down to 0, evenly spaced, [count] int32.

        Raises:
          ValueError: if count is not within 1 .. T.
        """
        if not 1 <= count <= self.steps:
            raise ValueError(f"steps must be between 1 and {self.steps}, not {count}")
        return np.linspace(self.steps - 1, 0, count).round().astype(np.int32)
