"""What a network's output means, and the conversions between the meanings.

With a = sqrt(abar_t) and s = sqrt(1 - abar_t), so that y_t = a x0 + s e and a^2 + s^2 = 1:

  e  = (y_t - a x0) / s        x0 = (y_t - s e) / a
  v  = a e - s x0              x0 = a y_t - s v          (Salimans & Ho 2022)

Preconditioned x0 (Karras et al. 2022, in the variables of this process, d = sigma_data):

  x0_hat = c_skip y_t + c_out g,   c_skip = a d^2 / (a^2 d^2 + s^2),   c_out = s d / sqrt(...)

and with the copy path (ours; docs/method.md, equation 7), A the aligned source, m a mask:

  x0_hat = w m A + (1 - w m)(c_skip y_t + c_out g),   w = s^2 / (a^2 d^2 + s^2)

w is 1 throughout where the copied picture is one that was painted before (docs/method.md, 23): such
a picture stays true to the last step, and the mask alone decides;
or the same with the network's plain x0 in place of the parenthesis. Plain x0 asks the network for a
picture, which few channels can hold; the preconditioned form asks it, at low noise, for the noise,
which they cannot: with large patches and narrow levels plain x0 learns faster (Li & He 2025).

w is the share of noise in y_t: 1 where nothing of the picture is left, 0 where all of it is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Kind = Literal["epsilon", "v", "x0", "preconditioned"]

SIGMA_DATA = 0.5


class Prediction(NamedTuple):
    """A denoiser's view of the noisy picture.

    Attributes:
      x0: the predicted clean picture.
      epsilon: the predicted noise; always consistent with x0.
      variance: where the log variance of the reverse step lies between its bounds, in [0, 1] units
        up to extrapolation, or None for a fixed variance.
      info: scalars or arrays by name, for those who watch (guidance energies and the like).
    """

    x0: Float[Array, "batch h w c"]
    epsilon: Float[Array, "batch h w c"]
    variance: Float[Array, "batch h w c"] | None = None
    info: dict[str, Array] = {}


Denoiser = Callable[[Float[Array, "batch h w c"], Int[Array, "batch"]], Prediction]
"""(y_t, t) -> what is predicted of it."""


def from_x0(
    x0: Float[Array, "batch h w c"],
    y: Float[Array, "batch h w c"],
    abar: Float[Array, "batch 1 1 1"],
    variance: Float[Array, "batch h w c"] | None = None,
    info: dict[str, Array] | None = None,
) -> Prediction:
    """The prediction whose clean picture is x0."""
    noise = jnp.sqrt(jnp.maximum(1 - abar, 1e-8))
    return Prediction(x0, (y - jnp.sqrt(abar) * x0) / noise, variance, info or {})


def from_epsilon(
    epsilon: Float[Array, "batch h w c"],
    y: Float[Array, "batch h w c"],
    abar: Float[Array, "batch 1 1 1"],
    variance: Float[Array, "batch h w c"] | None = None,
) -> Prediction:
    """The prediction whose noise is epsilon."""
    x0 = (y - jnp.sqrt(1 - abar) * epsilon) / jnp.sqrt(abar)
    return Prediction(x0, epsilon, variance)


def precondition(
    abar: Float[Array, "batch 1 1 1"],
) -> tuple[
    Float[Array, "batch 1 1 1"], Float[Array, "batch 1 1 1"], Float[Array, "batch 1 1 1"]
]:
    """(c_skip, c_out, w) of the module's header."""
    signal2, noise2 = abar * SIGMA_DATA**2, 1 - abar
    total = signal2 + noise2
    c_skip = jnp.sqrt(abar) * SIGMA_DATA**2 / total
    c_out = jnp.sqrt(noise2) * SIGMA_DATA / jnp.sqrt(total)
    return c_skip, c_out, noise2 / total


def interpret(
    kind: Kind,
    signal: Float[Array, "batch h w c"],
    y: Float[Array, "batch h w c"],
    abar: Float[Array, "batch 1 1 1"],
    *,
    variance: Float[Array, "batch h w c"] | None = None,
    copied: Float[Array, "batch h w c"] | None = None,
    copy_mask: Float[Array, "batch h w 1"] | None = None,
    fading: bool = True,
) -> Prediction:
    """Turns a network's output into a prediction.

    Args:
      kind: what `signal` stands for.
      signal: the network's output.
      y: the noisy picture it was given.
      abar: abar_t.
      variance: raw output in [-1, 1] for the learned variance, or None.
      copied: A, the aligned source picture; only with kinds "x0" and "preconditioned".
      copy_mask: m in [0, 1].
      fading: w falls as the signal returns; otherwise w = 1.

    Raises:
      ValueError: for a copy path with a kind that does not predict a picture.
    """
    if copy_mask is not None and kind not in ("x0", "preconditioned"):
        raise ValueError(f"the copy path needs a prediction of the picture, not {kind!r}")
    variance = None if variance is None else (variance + 1) / 2
    if kind == "epsilon":
        return from_epsilon(signal, y, abar, variance)
    if kind == "v":
        return from_x0(jnp.sqrt(abar) * y - jnp.sqrt(1 - abar) * signal, y, abar, variance)
    c_skip, c_out, w = precondition(abar)
    x0 = signal if kind == "x0" else c_skip * y + c_out * signal
    if copy_mask is not None:
        assert copied is not None, "a mask says where a picture is copied"
        share = w * copy_mask if fading else copy_mask
        x0 = share * copied + (1 - share) * x0
    return from_x0(x0, y, abar, variance)
