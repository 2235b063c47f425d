"""Poses that are wrong in known ways: what a pose interaction field learns from and is tested on."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from repose_jax.pose.bones import bone_vectors, with_bones
from repose_jax.pose.skeleton import Skeleton

# Concentrations of the noise on bone angles, from nearly uniform to slight (POST).
KAPPAS = (0.5, 1.0, 2.0, 4.0, 8.0)

Poses = Float[np.ndarray, "n joints 3"]
Corruption = Callable[[Poses, Skeleton, np.random.Generator], Poses]
"""(poses in pixels, their skeleton, random numbers) -> poses; what is not visible stays so."""


def von_mises(poses: Poses, skeleton: Skeleton, rng: np.random.Generator, kappa: float) -> Poses:
    """Turns every bone by an angle of its own, von Mises of mean 0; lengths stay."""
    unit = np.asarray(bone_vectors(jnp.asarray(poses, jnp.float32), skeleton)[0])
    angle = rng.vonmises(0, kappa, unit.shape[:-1])
    c, s = np.cos(angle), np.sin(angle)
    turned = np.stack([c * unit[..., 0] - s * unit[..., 1], s * unit[..., 0] + c * unit[..., 1]],
                      axis=-1)
    return with_bones(poses, turned.astype(np.float32), skeleton)


def swapped(poses: Poses, skeleton: Skeleton, rng: np.random.Generator,
            joints: tuple[str, ...]) -> Poses:
    """Exchanges left and right of some joints."""
    out = np.array(poses, np.float32)
    for joint in joints:
        left, right = (skeleton.index(f"{side}_{joint}") for side in ("left", "right"))
        out[:, [left, right]] = out[:, [right, left]]
    return out


def upside_down(poses: Poses, skeleton: Skeleton, rng: np.random.Generator) -> Poses:
    """Turns poses on their heads."""
    out = np.array(poses, np.float32)
    out[..., 1] = np.where(out[..., 2] > 0, out[..., 1].max() - out[..., 1], 0)
    return out


def mirrored(poses: Poses, skeleton: Skeleton, rng: np.random.Generator) -> Poses:
    """Mirrors poses without renaming the joints: as a plane figure, the person seen from behind."""
    out = np.array(poses, np.float32)
    out[..., 0] = np.where(out[..., 2] > 0, out[..., 0].max() - out[..., 0], 0)
    return out


def scaled(poses: Poses, skeleton: Skeleton, rng: np.random.Generator) -> Poses:
    """Another size and place, which a field must not notice."""
    factor = rng.uniform(0.3, 3.0, (len(poses), 1, 1))
    out = np.array(poses, np.float32)
    moved = out[..., :2] * factor + rng.uniform(-50, 50, (len(poses), 1, 2))
    out[..., :2] = np.where(out[..., 2:] > 0, moved, 0)
    return out


CORRUPTIONS: dict[str, Corruption] = {
    **{f"von Mises {kappa:g}": functools.partial(von_mises, kappa=kappa) for kappa in KAPPAS},
    "arms exchanged": functools.partial(swapped, joints=("elbow", "wrist")),
    "legs exchanged": functools.partial(swapped, joints=("knee", "ankle")),
    "wrists exchanged": functools.partial(swapped, joints=("wrist",)),
    "ankles exchanged": functools.partial(swapped, joints=("ankle",)),
    "shoulders exchanged": functools.partial(swapped, joints=("shoulder",)),
    "upside down": upside_down,
    "mirrored": mirrored,
    "scaled": scaled,
}
