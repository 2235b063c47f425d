"""Published autoencoders of latent diffusion (Rombach et al. 2022) as parameters of ours.

Two programs name the same tensors in two ways: diffusers' AutoencoderKL, whose config.json lies beside
its weights, and latent diffusion itself, where Stable Diffusion's checkpoints hold the autoencoder
among all the rest under "first_stage_model.". Sizes are read off the tensors; the groups of the
normalisation and what the latents are multiplied by cannot be, and are asked for or read there.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import numpy as np

from repose_jax.common.errors import UserError
from repose_jax.common.json_text import parse_json
from repose_jax.common.torch_file import read_torch
from repose_jax.models.tensor_places import (
    Array, Place, conv, layer, norm, placed, refuse_values)
from repose_jax.networks.autoencoder import AutoencoderConfig, Params, fresh_autoencoder
from repose_jax.training.weight_file import WeightFile

_HINT = ("give diffusers' diffusion_pytorch_model.safetensors of an AutoencoderKL, or a checkpoint "
         "of Stable Diffusion")
_PREFIX = "first_stage_model."
_GROUPS = 32  # of all that latent diffusion and Stable Diffusion published
_SCALES = "0.18215 for Stable Diffusion 1 and 2, 0.13025 for XL"
# As diffusers began; its files of then are still about.
_ATTENTION_OF_OLD = (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn"))
# In latent diffusion's own words.
_ORIGINAL = (
    (r"mid_block\.resnets\.0", "mid.block_1"), (r"mid_block\.resnets\.1", "mid.block_2"),
    (r"mid_block\.attentions\.0\.", "mid.attn_1."), (r"\.group_norm", ".norm"),
    (r"attn_1\.to_([qkv])", r"attn_1.\1"), (r"\.to_out\.0", ".proj_out"),
    (r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2"),
    (r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample"),
    (r"up_blocks\.(\d+)\.resnets\.(\d+)", r"up.\1.block.\2"),
    (r"up_blocks\.(\d+)\.upsamplers\.0", r"up.\1.upsample"),
    (r"conv_norm_out", "norm_out"), (r"conv_shortcut", "nin_shortcut"))


class AutoencoderWeights(NamedTuple):
    """An autoencoder that was read.

    Attributes:
      config: its sizes.
      params: its parameters, float32.
      facts: the file's name and hash.
    """

    config: AutoencoderConfig
    params: Params
    facts: dict[str, Any]


def read_autoencoder(
    path: str | os.PathLike[str], *, scale: float | None = None, shift: float | None = None,
    groups: int | None = None,
) -> AutoencoderWeights:
    """Reads a file of diffusers or of latent diffusion; PyTorch is not needed and nothing in it runs.

    Args:
      path: of the file, .safetensors or what torch.save wrote.
      scale, shift: latents z are diffused as (z - shift) * scale; None for those of the config.json
        beside the file, where there is one, and a shift of 0 where nothing says one.
      groups: of the normalisation; None for those of the config.json, or 32.

    Raises:
      UserError: missing, damaged, no such autoencoder, with tensors missing, unexpected, misshapen or
        not finite, all of which are named, or without anything that says the scale.
    """
    path = pathlib.Path(path)
    state = _state(path)
    said = _beside(path)
    config = _config(path, state, groups or said.get("norm_num_groups") or _GROUPS)
    like = flax.traverse_util.flatten_dict(
        jax.eval_shape(fresh_autoencoder(config), jax.random.key(0)), sep="/")
    params = placed(path, state, list(_places(config, _names_of(state, config))), like, _HINT)
    params |= _standard(path, config, said, scale, shift)
    return AutoencoderWeights(config, flax.traverse_util.unflatten_dict(params, sep="/"),
                              {"file": path.name, "sha256": _digest(path)})


def _digest(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(path: pathlib.Path) -> dict[str, Array]:
    """The autoencoder's tensors, without the prefix of a whole checkpoint, float32."""
    if path.suffix == ".safetensors":
        state: Mapping[str, Any] = WeightFile.read(path).tensors
    else:
        state = read_torch(path, only=("state_dict",)).get("state_dict") or read_torch(path)
    if not isinstance(state, Mapping) or not all(
            isinstance(name, str) and isinstance(value, np.ndarray)
            for name, value in state.items()):
        raise UserError(path, "holds no dictionary of tensors", _HINT)
    if any(name.startswith(_PREFIX) for name in state):
        state = {name.removeprefix(_PREFIX): value for name, value in state.items()
                 if name.startswith(_PREFIX)}
    # What trained it, a discriminator and a perceptual loss, may lie beside it.
    kept = {name: value for name, value in state.items()
            if not name.startswith(("loss.", "model_ema."))}
    if "encoder.conv_in.weight" not in kept:
        raise UserError(path, "holds no autoencoder of latent diffusion", _HINT)
    found = {name: value.astype(np.float32) if value.dtype.kind in "fV" else value
             for name, value in kept.items()}
    refuse_values(path, found)
    return found


def _beside(path: pathlib.Path) -> dict[str, Any]:
    """What the config.json beside diffusers' weights says; empty where there is none."""
    file = path.with_name("config.json")
    if path.suffix != ".safetensors" or not file.is_file():
        return {}
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(file, f"cannot be read ({error.strerror or error})",
                        "mend it, or move it away and give --scale") from None
    said = parse_json(content, file, "is no JSON", "fetch it again")
    if not isinstance(said, dict) or said.get("_class_name") != "AutoencoderKL":
        raise UserError(file, "is not of an AutoencoderKL", "give the weights of one, or move it away "
                        "and give --scale")
    if said.get("act_fn", "silu") != "silu":
        raise UserError(file, f"has the activation {said['act_fn']!r:.40}", "only silu is known here")
    return said


def _config(path: pathlib.Path, state: Mapping[str, Array], groups: int) -> AutoencoderConfig:
    """The configuration whose sizes are those of the tensors."""

    def count(pattern: str) -> int:
        numbers = {int(found[1]) for name in state if (found := re.match(pattern, name))}
        return len(numbers)

    block = r"encoder\.down(?:_blocks)?\.{}\.(?:block|resnets)\.{}\.conv1\.weight"
    levels, blocks = count(block.format(r"(\d+)", 0)), count(block.format(0, r"(\d+)"))
    widths = [next((value.shape[0] for name, value in state.items()
                    if re.fullmatch(block.format(level, 0), name)), 0) for level in range(levels)]
    first = state.get("decoder.conv_in.weight")
    if not levels or first is None or first.ndim != 4 or not all(widths):
        raise UserError(path, "has none of the blocks of an autoencoder of latent diffusion", _HINT)
    convs = "quant_conv.weight" in state or "post_quant_conv.weight" in state
    if not isinstance(groups, int) or groups < 1 or any(width % groups for width in widths):
        raise UserError(path, f"has {', '.join(map(str, widths))} channels, which {groups!r:.40} "
                        "groups do not divide", "give --groups, a divisor of them all")
    return AutoencoderConfig(
        channels=tuple(widths), blocks=blocks, latent=first.shape[1], groups=groups, latent_convs=convs,
        attention=any(".mid_block.attentions." in name or ".mid.attn_1." in name for name in state))


def _standard(
    path: pathlib.Path, config: AutoencoderConfig, said: Mapping[str, Any], scale: float | None,
    shift: float | None,
) -> dict[str, Array]:
    """Shift and scale of each channel."""
    scale = said.get("scaling_factor") if scale is None else scale
    if scale is None:
        raise UserError(path, "does not say what its latents are multiplied by",
                        f"give --scale: {_SCALES}")
    if shift is None:
        shift = said.get("shift_factor") or 0.0
    # Some say each channel's own mean and deviation beside.
    means = shift if said.get("latents_mean") is None else said["latents_mean"]
    deviations = 1.0 if said.get("latents_std") is None else said["latents_std"]
    try:
        found = {"shift": np.broadcast_to(np.float32(means), (config.latent,)),
                 "scale": np.broadcast_to(np.float32(scale) / np.float32(deviations),
                                          (config.latent,))}
    except (TypeError, ValueError):
        found = {}
    if not found or not np.isfinite([*found.values()]).all() or not (found["scale"] > 0).all():
        raise UserError(path, f"has latents of the scale {scale!r:.40} and the shift {means!r:.80}",
                        "give --scale above 0 and --shift, finite numbers")
    return found


def _names_of(state: Mapping[str, Array], config: AutoencoderConfig) -> Callable[[str], str]:
    """From diffusers' present names to those of the file."""
    if not any(name.startswith("encoder.down_blocks.") for name in state):
        last = len(config.channels) - 1

        def original(name: str) -> str:
            # diffusers counts the decoder's levels from the coarsest.
            name = re.sub(r"up_blocks\.(\d+)", lambda n: f"up_blocks.{last - int(n[1])}", name)
            for pattern, word in _ORIGINAL:
                name = re.sub(pattern, word, name)
            return name

        return original
    if any(name.endswith(".proj_attn.weight") for name in state):

        def old(name: str) -> str:
            for now, then in _ATTENTION_OF_OLD:
                name = name.replace(f".attentions.0.{now}.", f".attentions.0.{then}.")
            return name

        return old
    return lambda name: name


def _matrix(x: Array) -> Array:
    """A matrix, or a convolution of one pixel, as a matrix of Flax."""
    if x.shape[2:] not in ((), (1, 1)):
        raise ValueError(f"{x.shape} is no matrix")
    return x.reshape(x.shape[:2]).T


def _block(theirs: str, ours: str, skip: bool) -> Iterator[Place]:
    for number, ends in ((1, "in"), (2, "out")):
        yield from norm(f"{theirs}.norm{number}", f"{ours}/norm_{ends}")
        yield from layer(f"{theirs}.conv{number}", f"{ours}/conv_{ends}", conv)
    if skip:
        yield from layer(f"{theirs}.conv_shortcut", f"{ours}/skip", conv)


def _half(config: AutoencoderConfig, name: str) -> Iterator[Place]:
    """What encoder and decoder have in common."""
    yield from layer(f"{name}.conv_in", f"{name}/stem", conv)
    for i in range(2):
        yield from _block(f"{name}.mid_block.resnets.{i}", f"{name}/middle_{i}", skip=False)
    if config.attention:
        theirs, ours = f"{name}.mid_block.attentions.0", f"{name}/attention"
        yield from norm(f"{theirs}.group_norm", f"{ours}/norm")
        for part, own in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "out")):
            yield from layer(f"{theirs}.{part}", f"{ours}/{own}", _matrix)
    yield from norm(f"{name}.conv_norm_out", f"{name}/head_norm")
    yield from layer(f"{name}.conv_out", f"{name}/head", conv)


def _diffusers_places(config: AutoencoderConfig) -> Iterator[Place]:
    """Every parameter but shift and scale, and the tensor that it comes from, named as diffusers."""
    for half in ("encoder", "decoder"):
        yield from _half(config, half)
    if config.latent_convs:
        yield from layer("quant_conv", "to_latent", conv)
        yield from layer("post_quant_conv", "from_latent", conv)
    levels, carried = len(config.channels), config.channels[0]
    for level, width in enumerate(config.channels):
        theirs = f"encoder.down_blocks.{level}"
        for i in range(config.blocks):
            yield from _block(f"{theirs}.resnets.{i}", f"encoder/level_{level}_{i}",
                              skip=carried != width)
            carried = width
        if level + 1 < levels:
            yield from layer(f"{theirs}.downsamplers.0.conv", f"encoder/down_{level}", conv)
    for level, width in reversed(list(enumerate(config.channels))):
        theirs = f"decoder.up_blocks.{levels - 1 - level}"
        for i in range(config.blocks + 1):
            yield from _block(f"{theirs}.resnets.{i}", f"decoder/level_{level}_{i}",
                              skip=carried != width)
            carried = width
        if level:
            yield from layer(f"{theirs}.upsamplers.0.conv", f"decoder/up_{level}", conv)


def _places(config: AutoencoderConfig, named: Callable[[str], str]) -> Iterator[Place]:
    """As `_diffusers_places`, by the names of a file."""
    for theirs, ours, change in _diffusers_places(config):
        yield Place(named(theirs), ours, change)
