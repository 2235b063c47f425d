"""Heads that look real, whether the source shows them or not (docs/method.md, 29'').

The face of who is seen from behind cannot be known. What is nearest to all faces is none; a
discriminator asks for one of them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from repose_jax.models.perceptual_loss import CloseUps
from repose_jax.networks.apply import apply
from repose_jax.networks.efficientnet_lite import TAP_CHANNELS
from repose_jax.networks.projected_discriminator import ProjectedDiscriminator, normalised


def fresh_critic(key: Key[Array, ""]) -> dict:
    """Parameters of a discriminator that has seen nothing."""
    features = [jnp.zeros((1, 1, 1, channels)) for channels in TAP_CHANNELS]
    return ProjectedDiscriminator().init(key, features)["params"]


def realism_terms(params: dict, seen: CloseUps, weight: float) -> dict[str, Float[Array, ""]]:
    """Equation 29'': both sides of the game in one sum, each with what is the other's held fixed.

    Args:
      params: of the discriminator.
      seen: what the fixed network sees of the painted heads and of the target's.
      weight: of the discriminator's opinion.

    Returns:
      "realism", which moves the picture alone, and "critic", which moves the discriminator alone; pairs
      that show no head count nothing in either. In the first small heads, seen enlarged, count less, so
      that a pixel of theirs counts as much as one of others.
    """
    fixed, judge, kept = jax.lax.stop_gradient, ProjectedDiscriminator(), normalised(params)

    def scores(params, features):
        return apply(judge, params, [_scaled(x) for x in features])

    def mean(found, loss, counts=1.0):
        each = jnp.asarray(sum(jnp.mean(loss(score), axis=(1, 2, 3)) for score in found)) / len(found)
        return jnp.sum(seen.shown * counts * each) / jnp.maximum(seen.shown.sum(), 1.0)

    painted, false, true = (scores(*given) for given in (
        (fixed(kept), seen.ours), (kept, fixed(seen.ours)), (kept, fixed(seen.theirs))))
    return {"realism": -weight * mean(painted, lambda score: score, seen.nearer),
            "critic": (mean(false, lambda score: jax.nn.relu(1 + score))
                       + mean(true, lambda score: jax.nn.relu(1 - score)))}


def _scaled(x):
    """Vectors of length 1 at every cell to numbers of about unit size."""
    return x * x.shape[-1] ** 0.5
