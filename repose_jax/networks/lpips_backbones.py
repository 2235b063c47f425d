"""The convolutional parts of AlexNet, VGG-16 and SqueezeNet 1.1, with the activations LPIPS reads.

Layers are numbered as in torchvision's `features`, whose weights they take: AlexNet (Krizhevsky
2014, the one-tower variant), VGG-16 without batch normalisation (Simonyan & Zisserman 2015,
configuration D) and SqueezeNet 1.1 (Iandola et al. 2016). Every tap is the output of a ReLU or of a
fire module (Zhang et al. 2018, section 3, and their released model). Inference only; nothing after
the last tap is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from repose_jax.common.errors import UserError

BackboneName = Literal["alex", "vgg", "squeeze"]
Params = Any


class _Conv(NamedTuple):
    """Convolution and ReLU, as layer `number` of torchvision's `features`."""

    number: int
    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1


class _Pool(NamedTuple):
    """Maximum over windows; `ceil` keeps the window that only partly fits."""

    window: int
    ceil: bool = False


class _Fire(NamedTuple):
    """Fire module: 1x1 convolution to `squeeze` channels, then 1x1 and 3x3 to `expand` each."""

    number: int
    squeeze: int
    expand: int


_TORCHVISION = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}

_Layers = tuple[_Conv | _Pool | _Fire, ...]

_VGG_POOL, _ALEX_POOL, _SQUEEZE_POOL = _Pool(2), _Pool(3), _Pool(3, ceil=True)

# A row for each tap: the layers from the tap before to this one.
_STAGES: dict[str, tuple[_Layers, ...]] = {
    "alex": (
        (_Conv(0, 64, 11, 4, 2),),
        (_ALEX_POOL, _Conv(3, 192, 5, 1, 2)),
        (_ALEX_POOL, _Conv(6, 384)),
        (_Conv(8, 256),),
        (_Conv(10, 256),)),
    "vgg": (
        (_Conv(0, 64), _Conv(2, 64)),
        (_VGG_POOL, _Conv(5, 128), _Conv(7, 128)),
        (_VGG_POOL, _Conv(10, 256), _Conv(12, 256), _Conv(14, 256)),
        (_VGG_POOL, _Conv(17, 512), _Conv(19, 512), _Conv(21, 512)),
        (_VGG_POOL, _Conv(24, 512), _Conv(26, 512), _Conv(28, 512))),
    "squeeze": (
        (_Conv(0, 64, 3, 2, 0),),
        (_SQUEEZE_POOL, _Fire(3, 16, 64), _Fire(4, 16, 64)),
        (_SQUEEZE_POOL, _Fire(6, 32, 128), _Fire(7, 32, 128)),
        (_SQUEEZE_POOL, _Fire(9, 48, 192)),
        (_Fire(10, 48, 192),),
        (_Fire(11, 64, 256),),
        (_Fire(12, 64, 256),)),
}


def _width(layer: _Conv | _Pool | _Fire) -> int:
    if isinstance(layer, _Pool):
        raise ValueError("no stage ends in a pool")
    return 2 * layer.expand if isinstance(layer, _Fire) else layer.channels


TAP_CHANNELS: dict[str, tuple[int, ...]] = {
    name: tuple(_width(layers[-1]) for layers in stages) for name, stages in _STAGES.items()}
"""Channels of each tap, by backbone."""


def _pool(x: Array, pool: _Pool) -> Array:
    """Stride 2 throughout; -inf, which never wins, fills up a window that only partly fits."""
    extra = [(size - pool.window) % 2 if pool.ceil else 0 for size in x.shape[1:3]]
    return nn.max_pool(x, (pool.window, pool.window), (2, 2), [(0, e) for e in extra])


class LpipsBackbone(nn.Module):
    """A feature extractor.

    Attributes:
      kind: "alex", "vgg" or "squeeze".
    """

    kind: str

    def _conv(self, x: Array, name: str, layer: _Conv) -> Array:
        # Full precision, since accelerators would otherwise round to TF32 or bfloat16 and the
        # distance would depend on where it was measured.
        conv = nn.Conv(layer.channels, (layer.kernel, layer.kernel), layer.stride,
                       layer.padding, precision=jax.lax.Precision.HIGHEST, name=name)
        return nn.relu(conv(x))

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width 3"]
    ) -> tuple[Float[Array, "batch _h _w _c"], ...]:
        """The taps, first to last.

        Args:
          x: pictures, less the mean and divided by the standard deviation of ImageNet's channels.

        Raises:
          ValueError: for pictures so small that a layer has no output.
        """
        size, taps = x.shape[1:3], []
        for layers in _STAGES[self.kind]:
            for layer in layers:
                if isinstance(layer, _Pool):
                    x = _pool(x, layer)
                elif isinstance(layer, _Conv):
                    x = self._conv(x, f"features_{layer.number}", layer)
                else:
                    stem = f"features_{layer.number}"
                    x = self._conv(x, f"{stem}_squeeze", _Conv(0, layer.squeeze, 1, 1, 0))
                    x = jnp.concatenate(
                        [self._conv(x, f"{stem}_expand1x1", _Conv(0, layer.expand, 1, 1, 0)),
                         self._conv(x, f"{stem}_expand3x3", _Conv(0, layer.expand))], axis=-1)
                if 0 in x.shape[1:3]:
                    raise ValueError(f"pictures of {size} are too small for {self.kind}")
            taps.append(x)
        return tuple(taps)


def backbone_params(kind: BackboneName, state: Mapping[str, np.ndarray], where: str) -> Params:
    """Parameters of `LpipsBackbone(kind)` from torchvision's weights.

    Args:
      kind: the backbone.
      state: name to array as in torchvision's `alexnet`, `vgg16` and `squeezenet1_1`:
        "features.0.weight" [out, in, height, width], "features.3.squeeze.bias" [out], ...; the
        classifier's are not needed, and left alone.
      where: the file they come from, for the error.

    Returns:
      A tree for `LpipsBackbone(kind).apply`, float32.

    Raises:
      UserError: naming what is missing or has another shape.
    """
    shapes = jax.eval_shape(LpipsBackbone(kind).init, jax.random.key(0),
                            jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32))["params"]
    expected = {}
    for layer, leaves in shapes.items():
        stem = layer.replace("_", ".")
        kernel = leaves["kernel"].shape
        expected[f"{stem}.weight"] = (kernel[3], kernel[2], kernel[0], kernel[1])
        expected[f"{stem}.bias"] = leaves["bias"].shape
    check_state(state, expected, where, f"the weights of torchvision's {_TORCHVISION[kind]}")
    params = {}
    for layer in shapes:
        stem = layer.replace("_", ".")
        params[layer] = {
            "kernel": jnp.asarray(state[f"{stem}.weight"].transpose(2, 3, 1, 0), jnp.float32),
            "bias": jnp.asarray(state[f"{stem}.bias"], jnp.float32)}
    return {"params": params}


def check_state(
    state: Mapping[str, np.ndarray],
    expected: Mapping[str, tuple[int, ...]],
    where: str,
    wanted: str,
) -> None:
    """UserError unless `state` holds every expected name in the expected shape.

    Args:
      state: name to array; names that nothing expects are left alone.
      expected: name to shape.
      where: the file at fault.
      wanted: what the file should have held, for the error.
    """
    missing = [name for name in expected if name not in state]
    if missing:
        raise UserError(where, f"{len(missing)} of {len(expected)} arrays are missing, the first "
                               f"{missing[0]!r}", f"give {wanted}")
    for name, shape in expected.items():
        if tuple(state[name].shape) != tuple(shape):
            raise UserError(where, f"{name!r} has the shape {tuple(state[name].shape)} and not "
                                   f"{tuple(shape)}", f"give {wanted}")
