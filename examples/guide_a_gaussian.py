"""Guide a toy: gradient guidance on a Gaussian, where the answer is known.

    python examples/guide_a_gaussian.py

The "pictures" are 2x2 cells of one channel, drawn from a Gaussian of mean 0 and deviation S, so the
best denoiser is a formula and no network is needed. An energy, half the squared distance to GOAL over
the deviation TAU's square, pulls the samples: a guidance takes a denoiser and returns a denoiser, and
the sampler knows of neither.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from repose_jax.diffusion.guidance import gradient_guided
from repose_jax.diffusion.prediction import Prediction, from_x0
from repose_jax.diffusion.samplers import DDIM, Segment, sample
from repose_jax.diffusion.schedule import Schedule

S, GOAL, TAU = 0.25, 0.4, 0.5
SCHEDULE = Schedule(kind="cosine", steps=200)


def denoiser(y, t) -> Prediction:
    """The mean of the clean cells given the noisy ones: E[x | y] of two Gaussians."""
    abar = SCHEDULE.alpha_bar(t)
    return from_x0(jnp.sqrt(abar) * S**2 / (abar * S**2 + 1 - abar) * y, y, abar)


def energy(x0, t):
    """How far from the goal, a value a picture."""
    value = jnp.sum((x0 - GOAL) ** 2, axis=(1, 2, 3)) / (2 * TAU**2)
    return value, {"distance": jnp.sqrt(2 * value) * TAU}


def draw(strength: float, count: int = 256):
    """Samples under a guidance of a strength; 0 is none."""
    guided = gradient_guided(denoiser, energy, SCHEDULE, lambda t: jnp.full(t.shape, strength),
                             normalize="none")
    keys = jax.random.split(jax.random.key(0), count)
    cells, _ = sample([Segment(guided if strength else denoiser, SCHEDULE.spaced(50))], SCHEDULE,
                      DDIM(), keys, (2, 2, 1))
    return cells


if __name__ == "__main__":
    for strength in (0.0, 0.005, 0.02):
        found = draw(strength)
        print(f"strength {strength:5.3f}: mean {found.mean():+.3f}, deviation {found.std():.3f}")
