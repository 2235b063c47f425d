"""PIDM's own network from a clone of its repository, with random weights, and its import here."""

from __future__ import annotations

import pathlib
import sys
import tempfile
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from repose_jax.diffusion.samplers import initial_noise
from repose_jax.models.pidm_weights import PidmWeights, read_pidm


def pidm_network(checkout: pathlib.Path, channels: int, size: int) -> Any:
    """PIDM's network in PyTorch, in evaluation mode, with random numbers in every tensor.

    Args:
      checkout: the clone, whose folder `models` is imported.
      channels: of the finest level; 128 as released.
      size: of the square pictures; 256 as released. Attention stays at the last three levels.
    """
    import torch

    sys.path.insert(0, str(checkout))
    from models.unet_autoenc import BeatGANsAutoencConfig

    torch.manual_seed(0)
    # The values of config/diffconfig.py, scaled.
    network = BeatGANsAutoencConfig(
        image_size=size, in_channels=23, model_channels=channels, out_channels=6,
        num_res_blocks=2, embed_channels=4 * channels,
        attention_resolutions=(size // 8, size // 16, size // 32), dropout=0.1,
        channel_mult=(1, 1, 2, 2, 4, 4), num_heads=1, resblock_updown=True, resnet_two_cond=True,
        latent_net_conf=None).make_model().eval()
    with torch.no_grad():
        for tensor in network.parameters():
            if not tensor.abs().max():  # PIDM begins with zeros there, which would hide mistakes
                tensor.normal_(0, 0.02)
    return network


def imported(network: Any, size: int) -> PidmWeights:
    """The network as a file of PIDM's train.py would bring it here."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "last.pt")
        torch.save({"model": network.state_dict(), "ema": network.state_dict()}, path)
        return read_pidm(path, image_size=(size, size))


def torched(x) -> Any:
    """[batch, h, w, c] as a tensor [batch, c, h, w], contiguous, as PIDM feeds it: its normalisation
    of flat maps is coarser otherwise."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.asarray(x).transpose(0, 3, 1, 2)))


class Inputs(NamedTuple):
    """Something to paint.

    Attributes:
      source: noise that stands for a photo, in [-1, 1].
      pose: 18 joints, all visible, in pixels.
      keys: of the picture.
      noise: what sampling with these keys begins with.
    """

    source: Float[Array, "1 h w 3"]
    pose: Float[Array, "1 18 3"]
    keys: Key[Array, "1"]
    noise: Float[Array, "1 h w 3"]


def random_inputs(size: int) -> Inputs:
    """Always the same, for square pictures of a size."""
    rng, shape, keys = np.random.default_rng(0), (size, size, 3), jax.random.split(jax.random.key(0), 1)
    pose = np.concatenate([rng.uniform(0.1, 0.9, (1, 18, 2)) * size, np.ones((1, 18, 1))], -1)
    return Inputs(jnp.asarray(rng.uniform(-1, 1, (1, *shape)), jnp.float32),
                  jnp.asarray(pose, jnp.float32), keys, initial_noise(keys, shape))
