"""Guidance: transforms from a denoiser to a denoiser (docs/method.md, equations 10, 18 and 19).

A denoiser is any function (y_t, t) -> Prediction. A guidance takes one and returns another, so that
guidances compose by nesting and no sampler knows of them.

Classifier-free guidance (Ho & Salimans 2022) is an affine combination of the predictions under
several conditions, of which all are evaluated in one batched call:

  two branches (PIDM's code):    e(pose) + w (e(pose, source) - e(pose))
  disentangled (PIDM's paper):   e() + w_p (e(pose) - e()) + w_s (e(source) - e())

Gradient guidance moves the predicted clean picture against the gradient of an energy:

  x0 <- x0_hat - s(t) d,   d from g = grad E(x0_hat)

with g taken with respect to x0_hat, or through the denoiser with respect to y_t (as NIFTY, Kulkarni
et al. 2023), and d = g, or g scaled to a step whose length means something:

  "none"     d = g
  "unit"     d = g / rms(g): s(t) is the root mean square change of a pixel
  "polyak"   d = g E / |g|^2: to first order, s(t) is the share of the energy that one step removes
             (Polyak 1969); it fades as the energy does
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from repose_jax.diffusion.prediction import Denoiser, Prediction, from_x0
from repose_jax.diffusion.schedule import Schedule

Energy = Callable[[Float[Array, "batch h w c"], Int[Array, "batch"]],
                  tuple[Float[Array, "batch"], dict[str, Array]]]
"""(x0_hat, t) -> energy of each picture, which no other picture of the batch has a part in, and
what is to be known of it."""

Strength = Callable[[Int[Array, "batch"]], Float[Array, "batch"]]
"""t -> s(t)."""

Through = Literal["x0", "denoiser"]
Normalize = Literal["none", "unit", "polyak"]

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

    def denoise(y: Float[Array, "batch h w c"], t: Int[Array, "batch"]) -> Prediction:
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


def gradient_guided(
    denoiser: Denoiser,
    energy: Energy,
    schedule: Schedule,
    strength: Strength,
    *,
    through: Through = "x0",
    normalize: Normalize = "polyak",
    clip: float | Float[Array, ""] | None = None,
) -> Denoiser:
    """Moves a denoiser's clean picture against the gradient of an energy.

    Args:
      denoiser: what is guided; may be guided already.
      energy: what is to fall.
      schedule: the forward process.
      strength: s(t).
      through: "x0": the gradient with respect to x0_hat, which costs one gradient of the energy;
        "denoiser": with respect to y_t, which costs one of the denoiser too. In both cases the
        denoiser is evaluated once.
      normalize: see the module's header.
      clip: most that a step may change a pixel, root mean square over the picture; None does not
        clip.

    Returns:
      A denoiser. Its predictions' info holds what the energy tells, and "energy" before the step,
      "gradient" and "shift" (root mean square of g and of the step), each [batch].
    """

    def denoise(y: Float[Array, "batch h w c"], t: Int[Array, "batch"]) -> Prediction:
        if through == "denoiser":
            def total(y):
                prediction = denoiser(y, t)
                value, info = energy(prediction.x0, t)
                return value.sum(), (prediction, value, info)

            gradient, (prediction, value, info) = jax.grad(total, has_aux=True)(y)
        else:
            prediction = denoiser(y, t)

            def total(x0):
                value, info = energy(x0, t)
                return value.sum(), (value, info)

            gradient, (value, info) = jax.grad(total, has_aux=True)(prediction.x0)
        size = _rms(gradient)
        step = strength(t)[:, None, None, None] * _scaled(gradient, value, normalize)
        if clip is not None:
            step = step * jnp.minimum(1.0, clip / jnp.maximum(_rms(step), 1e-12))[
                :, None, None, None]
        info = prediction.info | info | {"energy": value, "gradient": size, "shift": _rms(step)}
        return from_x0(prediction.x0 - step, y, schedule.alpha_bar(t), prediction.variance, info)

    return denoise


def _rms(x: Float[Array, "batch h w c"]) -> Float[Array, "batch"]:
    return jnp.sqrt(jnp.mean(x**2, axis=(1, 2, 3)))


def _scaled(gradient, value, normalize):
    if normalize == "none":
        return gradient
    size = jnp.maximum(_rms(gradient), 1e-12)[:, None, None, None]
    if normalize == "unit":
        return gradient / size
    return gradient * value[:, None, None, None] / (size**2 * gradient[0].size)
