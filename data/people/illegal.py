"""Poses that no body can take, for judging what a field of valid poses has learnt."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float

from repose_jax.data.people.body import ANGLES, JOINT_LIMITS, SIDES, is_legal
from repose_jax.data.people.renderer import Render, render, sample_identity, sample_view

# Joints whose excess changes where the next joints are; a turned hand would change nothing.
_BENT = ("elbow_flexion", "knee_flexion", "hip_flexion", "hip_abduction", "shoulder_flexion")
_ILLEGAL = 3  # the purpose of these random numbers, apart from those of the renderer


def illegal_angles(
    angles: Float[np.ndarray, "angles"], rng: np.random.Generator
) -> Float[np.ndarray, "angles"]:
    """Bends one or two joints 15 to 60 degrees beyond one of their limits, the rest as it is."""
    out = np.array(angles)
    for _ in range(20):
        for _ in range(int(rng.integers(1, 3))):
            name = f"{rng.choice(SIDES)}_{rng.choice(_BENT)}"
            low, high = JOINT_LIMITS[name]
            excess = rng.uniform(15, 60)
            out[ANGLES.index(name)] = high + excess if rng.random() < 0.5 else low - excess
        if not is_legal(out):
            return out
    raise AssertionError("a limit was passed and the pose is legal")


def render_illegal(seed: int, identity: int, view: int, size: tuple[int, int]) -> Render:
    """`render_person`, the same person and view but for joints bent beyond their limits."""
    rng = np.random.default_rng([_ILLEGAL, seed, identity, view])
    shown = sample_view(seed, identity, view)
    bent = dataclasses.replace(shown, angles=illegal_angles(shown.angles, rng))
    return render(sample_identity(seed, identity), bent, size)
