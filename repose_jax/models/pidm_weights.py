"""PIDM's weights (Bhunia et al. 2023, released code) as parameters of this package's network.

The released model is this network without alignment and copy path and with PIDM's pose maps. Its
tensors have one place each here but for those that its forward pass never reads: the self-attention
and the second condition of its blocks, and the time embedding of its texture encoder.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import flax.traverse_util
import jax
import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.common.torch_file import read_torch
from repose_jax.models.model_config import ModelConfig, check_model
from repose_jax.models.pose_transfer import Params, RePoseModel
from repose_jax.models.tensor_places import (
    SHOWN, Array, Place, conv, layer, linear, norm, placed, refuse_values)
from repose_jax.networks.network import NetworkConfig
from repose_jax.networks.rpa import RPAConfig
from repose_jax.networks.unet import UNetConfig, decoder_plan, encoder_plan

_UNUSED = re.compile(r"\.(cond_emb_layers|qkv|proj_out1)\.|^encoder\.(time_embed\.|.*\.emb_layers\.)")
_MEND = "give the last.pt or model_*.pt that PIDM's train.py wrote"
_BASELINE = RPAConfig(iterations=0, initial="zero", inject=False, copy=False)

# Of files that are often taken for one of PIDM's: a key that gives each away, and what it is.
_OTHERS = (
    (r"^net_G(_ema)?(\.|$)|^(reference_encoder|skeleton_encoder|target_image_renderer)\.",
     "a generator of NTED: a GAN that paints in one pass, no diffusion model"),
    (r"(^|\.)(appearance_encoder|pose_encoder|pose_query|decoder\.query_feat)\.|transformer_blocks\.",
     "a model of the CFLD family: a latent diffusion on Stable Diffusion's U-Net"),
    (r"^(unet|vae|text_encoder)\.|first_stage_model\.", "a latent diffusion model"))


class PidmWeights(NamedTuple):
    """A model that was read.

    Attributes:
      config: its configuration.
      params: its parameters, float32.
      used, unused: how many of the file's numbers have a place, and how many PIDM itself never reads.
    """

    config: ModelConfig
    params: Params
    used: int
    unused: int


def read_pidm(
    path: str | os.PathLike[str], which: Literal["ema", "model"] = "ema", rpa: int = 0,
    image_size: tuple[int, int] = (256, 256),
) -> PidmWeights:
    """Reads a checkpoint of PIDM; PyTorch is not needed and nothing in the file runs.

    Args:
      path: of the file.
      which: "ema", the average of the weights, by which PIDM samples; or "model", the weights.
      rpa: K of a recurrent pose alignment to add for fine-tuning. Its parameters are fresh (of key
        0); it begins with no flow and injects nothing, so that the output is PIDM's until training
        changes it.
      image_size: (height, width) of the pictures; the released weights are for 256x256.

    Raises:
      UserError: missing, damaged, not of PIDM, or with tensors missing, unexpected, misshapen or not
        finite, all of which are named.
    """
    state = _state(path, which)
    config = _config(path, state, rpa, image_size)
    model = RePoseModel(config)
    like = flax.traverse_util.flatten_dict(
        jax.eval_shape(model.init, jax.random.key(0)), sep="/")
    places = list(_places(config.network.unet))
    params = placed(path, state, places, like, _MEND, _UNUSED.search)
    fresh = set(like) - set(params)
    if fresh:
        made = flax.traverse_util.flatten_dict(
            jax.jit(model.init)(jax.random.key(0)), sep="/")
        for name in fresh:
            silent = name.startswith("unet/injection")
            params[name] = np.zeros_like(made[name]) if silent else np.asarray(made[name])
    used = sum(state[name].size for name in {place.theirs for place in places})
    return PidmWeights(config, flax.traverse_util.unflatten_dict(params, sep="/"), used,
                       sum(value.size for value in state.values()) - used)


def _state(path: str | os.PathLike[str], which: str) -> dict[str, Array]:
    """The state dict of a checkpoint."""
    content = read_torch(path, only=(which,))
    state = content.get(which)
    if state is None:
        keys = list(map(str, content))
        _refuse_others(path, keys)
        raise UserError(path, f"holds no {which!r} but {', '.join(keys[:SHOWN]):.200}", _MEND)
    if not isinstance(state, Mapping) or not state or not all(
            isinstance(name, str) and isinstance(value, np.ndarray)
            for name, value in state.items()):
        raise UserError(path, f"holds no dictionary of tensors under {which!r}", _MEND)
    _refuse_others(path, list(state))
    refuse_values(path, state)
    return dict(state)


def _refuse_others(path: str | os.PathLike[str], names: list[str]) -> None:
    for pattern, what in _OTHERS:
        if any(re.search(pattern, name) for name in names):
            raise UserError(path, f"is {what}, whose weights have no place in this network", _MEND)


def _config(
    path: str | os.PathLike[str], state: Mapping[str, Array], rpa: int, image_size: tuple[int, int]
) -> ModelConfig:
    """The configuration whose widths and attention are those of the tensors."""
    blocks = UNetConfig().blocks
    widths, level = [], 0
    while (name := f"input_blocks.{level * (blocks + 1) + 1}.0.in_layers.2.weight") in state:
        widths.append(state[name].shape[0])
        level += 1
    if not widths:
        raise UserError(path, "has none of the blocks of PIDM's U-Net", _MEND)
    attention = tuple(k for k in range(level)
                      if f"input_blocks.{k * (blocks + 1) + blocks}.1.to_q.weight" in state)
    alignment = _BASELINE if not rpa else dataclasses.replace(
        _BASELINE, iterations=rpa, hidden=64, inject=True)
    config = ModelConfig(prediction="epsilon", network=NetworkConfig(
        image_size=image_size, skeleton="openpose18", maps="pidm", learned_variance=True,
        unet=UNetConfig(channels=tuple(widths), attention=attention), rpa=alignment))
    check_model(config)
    return config


def _pointwise(x: Array) -> Array:
    """A convolution over a row of tokens by one, as a matrix."""
    return x[:, :, 0].T


def _block(theirs: str, ours: str, *, timed: bool, skip: bool) -> Iterator[Place]:
    yield from norm(f"{theirs}.in_layers.0", f"{ours}/norm_in")
    yield from layer(f"{theirs}.in_layers.2", f"{ours}/conv_in", conv)
    yield from norm(f"{theirs}.out_layers.0", f"{ours}/norm_out")
    yield from layer(f"{theirs}.out_layers.3", f"{ours}/conv_out", conv)
    if timed:
        yield from layer(f"{theirs}.emb_layers.1", f"{ours}/embedding", linear)
    if skip:
        yield from layer(f"{theirs}.skip_connection", f"{ours}/skip", conv)


def _attention(theirs: str, ours: str, channels: int) -> Iterator[Place]:
    yield from norm(f"{theirs}.norm", f"{ours}/norm")
    yield from layer(f"{theirs}.to_q", f"{ours}/query", _pointwise)
    yield from layer(f"{theirs}.proj_out2", f"{ours}/out", _pointwise)
    for name, half in (("key", slice(0, channels)), ("value", slice(channels, 2 * channels))):
        of: dict[str, Any] = {"channels": channels, "half": half}
        yield Place(f"{theirs}.to_kv.weight", f"{ours}/{name}/kernel",
                     functools.partial(_half_pointwise, **of))
        yield Place(f"{theirs}.to_kv.bias", f"{ours}/{name}/bias", functools.partial(_half, **of))


def _half(x: Array, channels: int, half: slice) -> Array:
    """Of keys above values, one; ValueError where they are not as many as that."""
    if len(x) != 2 * channels:
        raise ValueError(f"{len(x)} rows where {2 * channels} belong")
    return x[half]


def _half_pointwise(x: Array, channels: int, half: slice) -> Array:
    return _pointwise(_half(x, channels, half))


def _places(config: UNetConfig) -> Iterator[Place]:
    """Every parameter of U-Net and source encoder and the tensor that it comes from."""
    yield from layer("time_embed.time_embed.0", "unet/time_in", linear)
    yield from layer("time_embed.time_embed.2", "unet/time_out", linear)
    yield from layer("input_blocks.0.0", "unet/stem", conv)
    yield from layer("encoder.input_blocks.0.0", "encoder/stem", conv)
    carried, attention = config.channels[0], 0
    encoder = encoder_plan(config)
    for k, block in enumerate(encoder[1:], start=1):
        skip = carried != block.channels
        yield from _block(f"input_blocks.{k}.0", f"unet/down_{k - 1}", timed=True, skip=skip)
        yield from _block(f"encoder.input_blocks.{k}.0", f"encoder/block_{k}", timed=False,
                          skip=skip)
        if block.attends:
            yield from _attention(f"input_blocks.{k}.1", f"unet/attention_{attention}",
                                  block.channels)
            attention += 1
        carried = block.channels
    for i, theirs in enumerate((0, 2) if config.attention else (0, 1)):
        yield from _block(f"middle_block.{theirs}", f"unet/middle_{i}", timed=True, skip=False)
    if config.attention:
        yield from _attention("middle_block.1", f"unet/attention_{attention}", carried)
        attention += 1
    level, plan = len(config.channels) - 1, decoder_plan(config)
    for k, block in enumerate(plan):
        # A skip connection widens what comes in, so that the channels always change.
        yield from _block(f"output_blocks.{k}.0", f"unet/up_{k}", timed=True, skip=True)
        if block.attends:
            yield from _attention(f"output_blocks.{k}.1", f"unet/attention_{attention}",
                                  block.channels)
            attention += 1
        if k + 1 < len(plan) and plan[k + 1].level != block.level:
            yield from _block(f"output_blocks.{k}.{1 + block.attends}",
                              f"unet/upsample_{len(config.channels) - 1 - level}", timed=True,
                              skip=False)
            level -= 1
    yield from norm("out.0", "unet/head_norm")
    yield from layer("out.2", "unet/head", conv)
