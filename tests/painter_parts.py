"""A tiny painter, what it is given, and ways to fix what it answers."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from repose_jax.diffusion.schedule import Schedule
from repose_jax.models.model_config import ModelConfig
from repose_jax.models.pose_transfer import RePoseModel
from repose_jax.networks.network import NetworkConfig
from repose_jax.networks.painter import PainterConfig
from repose_jax.networks.rpa import RPAConfig
from repose_jax.networks.unet import UNetConfig

SIZE = (16, 8)
COSINE = Schedule(kind="cosine", steps=40)
CONFIG = ModelConfig(
    network=NetworkConfig(
        image_size=SIZE, skeleton="market14", encoder_channels=(4, 6),
        unet=UNetConfig(channels=(4, 8), blocks=1, attention=(1,), patch=2, refine=3, groups=2,
                        dropout=0.0, resample_blocks=False),
        rpa=RPAConfig(iterations=1, hidden=3, finest=1),
        painter=PainterConfig(channels=(4, 8), refine=4, groups=2)),
    schedule=COSINE, prediction="x0", copy_fades=False)
SCENE = dataclasses.replace(CONFIG, network=dataclasses.replace(
    CONFIG.network, painter=dataclasses.replace(CONFIG.network.painter, scene=True)))
MODEL = RePoseModel(CONFIG)


def normal(seed: int, *shape: int) -> jnp.ndarray:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def poses(seed: int, count: int = 2) -> jnp.ndarray:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(1, [SIZE[1] - 2, SIZE[0] - 2], (count, 14, 2))
    return jnp.asarray(np.concatenate([xy, np.ones((count, 14, 1))], -1), jnp.float32)


def random_params(model):
    """Random parameters, so that nothing is silenced by an initial zero."""
    leaves, tree = jax.tree.flatten(jax.eval_shape(model.init, jax.random.key(0)))
    rng = np.random.default_rng(0)
    return jax.tree.unflatten(
        tree, [jnp.asarray(0.2 * rng.normal(size=x.shape), jnp.float32) for x in leaves])


@functools.cache
def params():
    return random_params(MODEL)


def with_shares(given, *logits: float):
    """The painter's shares of each pixel fixed by their logits, whatever it sees."""
    head = given["painter"]["head"]
    head = {"kernel": head["kernel"].at[..., 3:].set(0.0),
            "bias": head["bias"].at[3:].set(jnp.array(logits))}
    return given | {"painter": given["painter"] | {"head": head}}


def with_mask(logit: float):
    """The painter's mask fixed at sigmoid(logit)."""
    return with_shares(params(), logit)


paint = jax.jit(MODEL.paint)
SOURCE = jnp.clip(0.5 * normal(1, 2, *SIZE, 3), -1, 1)
