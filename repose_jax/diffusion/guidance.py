"""Guidance: transforms from a denoiser to a denoiser (docs/method.md, equation 10).

A denoiser is any function (y_t, t) -> Prediction. A guidance takes one and returns another, so that
guidances compose by nesting and no sampler knows of them.

Classifier-free guidance (Ho & Salimans 2022) is an affine combination of the predictions under
several conditions, of which all are evaluated in one batched call:

  two branches (PIDM's code):    e(pose) + w (e(pose, source) - e(pose))
  disentangled (PIDM's paper):   e() + w_p (e(pose) - e()) + w_s (e(source) - e())
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from repose_jax.diffusion.prediction import Prediction

Denoiser = Callable[[Float[Array, "batch h w 3"], Int[Array, "batch"]], Prediction]

Tree = TypeVar("Tree")

Branch = Literal["none", "pose", "source", "both"]


def two_branch(weight: float) -> dict[Branch, float]:
    """Coefficients of the two-branch form; weight 1 is the plain conditional prediction."""
    return {"both": 1.0} if weight == 1 else {"pose": 1 - weight, "both": weight}


def disentangled(pose_weight: float, source_weight: float) -> dict[Branch, float]:
    """Coefficients of the disentangled form."""
    return {"none": 1 - pose_weight - source_weight, "pose": pose_weight, "source": source_weight}


def classifier_free(branches: Denoiser, coefficients: tuple[float, ...]) -> Denoiser:
    """Combines the predictions of a denoiser whose batch holds the branches one after another.

    Args:
      branches: a denoiser for batches of len(coefficients) * batch pictures, branch by branch,
        conditioned accordingly (see `stack_branches`).
      coefficients: one for each branch; they sum to 1, so that a picture all branches agree on
        stays what it is.

    Returns:
      A denoiser for plain batches. The learned variance, if any, is the last branch's.

    Raises:
      ValueError: if the coefficients do not sum to 1.
    """
    if abs(sum(coefficients) - 1) > 1e-6:
        raise ValueError(f"the coefficients {coefficients} must sum to 1")
    count = len(coefficients)

    def denoise(y: Float[Array, "batch h w 3"], t: Int[Array, "batch"]) -> Prediction:
        every = branches(jnp.tile(y, (count, 1, 1, 1)), jnp.tile(t, count))

        def combine(values):
            parts = values.reshape(count, -1, *values.shape[1:])
            return jnp.tensordot(jnp.array(coefficients, values.dtype), parts, axes=1)

        variance = every.variance
        if variance is not None:
            variance = variance.reshape(count, -1, *variance.shape[1:])[-1]
        return Prediction(combine(every.x0), combine(every.epsilon), variance, every.info)

    return denoise


def stack_branches(*conditions: Tree) -> Tree:
    """Lays the conditions of several branches one after another along the batch axis."""
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *conditions)
