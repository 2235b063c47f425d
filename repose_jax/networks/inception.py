"""Inception-v3 (Szegedy et al. 2016), for features of pictures: inference only.

Two sets of weights are in use for scores such as the Fréchet distance, and the networks that they
belong to differ:

  "tf"        that of Heusel et al. 2017 (TensorFlow's graph of 2015-12-05), as pytorch-fid,
              torch-fidelity and torchmetrics use it: averages over 3 x 3 windows leave the padding
              out, the last block pools by maxima, 1008 classes;
  "imagenet"  torchvision's: averages count the padding as zeros, the last block averages, 1000
              classes. The scripts of GFLA, PIDM, CFLD and MCLD report the distance with this one.

Numbers of the two do not compare, nor do those of different resizing or scaling of the input; see
`prepare`. Batch normalisation, whose statistics are fixed, is folded into the convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Num, Shaped

from repose_jax.common.errors import UserError

Variant = Literal["tf", "imagenet"]
Tap = Literal["64", "192", "768", "2048", "logits"]
Resize = Literal["bilinear", "tf1", "none"]
Scaling = Literal["symmetric", "tf", "transform"]
Params = Any

SIDE = 299
"""Pixels a side of the pictures that the network was trained on."""

_CLASSES = {"tf": 1008, "imagenet": 1000}
_EPSILON = 1e-3
# Accelerators would otherwise round to bfloat16 or TF32, and a distance see the rounding.
_EXACT = lax.Precision.HIGHEST
# Of ImageNet; torchvision's network turns pictures normalised by them into [-1, 1].
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# What a file may hold beside what is used.
_UNUSED = ("AuxLogits.", "num_batches_tracked")


def resize_bilinear(
    pictures: Float[Array, "batch h w c"], side: int, *, half_pixel: bool = True
) -> Float[Array, "batch side side c"]:
    """Bilinear, from two neighbours an axis whatever the factor (no antialiasing).

    Args:
      pictures: of any size and range.
      side: height and width of the result, pixels.
      half_pixel: whether pixels are squares around their centres, as in PyTorch's `interpolate`
        with align_corners=False; else their corners coincide, as in TensorFlow 1's
        `resize_bilinear`, which moves the picture by up to half a pixel.
    """
    def along(length):
        place = np.arange(side) * (length / side)
        if half_pixel:
            place = np.maximum((np.arange(side) + 0.5) * (length / side) - 0.5, 0)
        low = np.minimum(place.astype(int), length - 1)
        weights = np.zeros((side, length))
        weights[np.arange(side), low] = 1 - (place - low)
        weights[np.arange(side), np.minimum(low + 1, length - 1)] += place - low
        return weights.astype(np.float32)

    pictures = jnp.einsum("oh,bhwc->bowc", along(pictures.shape[1]), pictures, precision=_EXACT)
    return jnp.einsum("ow,bhwc->bhoc", along(pictures.shape[2]), pictures, precision=_EXACT)


def prepare(
    pictures: Num[Array, "batch h w 3"],
    resize: Resize = "bilinear",
    scaling: Scaling = "symmetric",
) -> Float[Array, "batch h2 w2 3"]:
    """What the network is given of a picture.

    pytorch-fid takes ("bilinear", "symmetric"), torch-fidelity ("tf1", "tf"), and the scripts of
    GFLA, PIDM, CFLD and MCLD ("bilinear", "transform").

    Args:
      pictures: uint8, or floats in [0, 1].
      resize: to 299 x 299, `resize_bilinear` with half pixels ("bilinear") or without ("tf1"), or
        not at all ("none").
      scaling: of a picture x in [0, 1]: "symmetric", 2 x - 1; "tf", (255 x - 128) / 128;
        "transform", x (std / .5) + (mean - .5) / .5 with ImageNet's mean and deviation a channel.
        The last is torchvision's `transform_input`, which is meant for pictures normalised by that
        mean and deviation and would make 2 x - 1 of them; the scripts feed it x itself.

    Raises:
      ValueError: for a way that is not known.
    """
    x = pictures.astype(jnp.float32)
    x = x / 255 if pictures.dtype == jnp.uint8 else x
    if resize not in get_args(Resize) or scaling not in get_args(Scaling):
        raise ValueError(f"no such way to prepare a picture: {resize}, {scaling}")
    if resize != "none":
        x = resize_bilinear(x, SIDE, half_pixel=resize == "bilinear")
    if scaling == "symmetric":
        return 2 * x - 1
    if scaling == "tf":
        return (255 * x - 128) / 128
    mean, std = np.array(_MEAN, np.float32), np.array(_STD, np.float32)
    return x * (std / 0.5) + (mean - 0.5) / 0.5


def _max_pool(x: Array, stride: int) -> Array:
    return nn.max_pool(x, (3, 3), (stride, stride), "VALID" if stride == 2 else "SAME")


def _average_pool(x: Array, count_padding: bool) -> Array:
    """Mean of 3 x 3 windows with stride 1, whose padding counts as zeros or not at all."""
    return nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=count_padding)


class Inception(nn.Module):
    """Inception-v3; modules are called as PyTorch's, so that weights map by name.

    Attributes:
      variant: see the module's header.
    """

    variant: Variant = "tf"

    @nn.compact
    def __call__(self, x: Float[Array, "batch h w 3"]) -> dict[Tap, Float[Array, "batch _"]]:
        """Runs the network; under `jax.jit` what is not used of the result costs nothing.

        Args:
          x: what `prepare` gives.

        Returns:
          Spatial means after the first and second maxima ("64", "192"), before the auxiliary
          classifier ("768") and after the last block ("2048"), and the "logits"; named by their
          number of features.
        """
        taps: dict[Tap, Array] = {}
        for name, channels, kernel, stride, padding in (
                ("Conv2d_1a_3x3", 32, 3, 2, "VALID"), ("Conv2d_2a_3x3", 32, 3, 1, "VALID"),
                ("Conv2d_2b_3x3", 64, 3, 1, "SAME")):
            x = _conv(x, name, channels, kernel, stride, padding)
        x = _max_pool(x, 2)
        taps["64"] = x.mean((1, 2))
        x = _conv(x, "Conv2d_3b_1x1", 80, 1)
        x = _conv(x, "Conv2d_4a_3x3", 192, 3, padding="VALID")
        x = _max_pool(x, 2)
        taps["192"] = x.mean((1, 2))
        for letter, pooled in zip("bcd", (32, 64, 64)):
            x = _Block("A", self.variant, pooled, name=f"Mixed_5{letter}")(x)
        x = _Block("B", self.variant, name="Mixed_6a")(x)
        for letter, inner in zip("bcde", (128, 160, 160, 192)):
            x = _Block("C", self.variant, inner, name=f"Mixed_6{letter}")(x)
        taps["768"] = x.mean((1, 2))
        x = _Block("D", self.variant, name="Mixed_7a")(x)
        x = _Block("E", self.variant, name="Mixed_7b")(x)
        x = _Block("E", self.variant, last=True, name="Mixed_7c")(x)
        taps["2048"] = x.mean((1, 2))
        taps["logits"] = nn.Dense(_CLASSES[self.variant], precision=_EXACT, name="fc")(taps["2048"])
        return taps


def _conv(x, name, channels, kernel, stride=1, padding="SAME"):
    """Convolution with the folded normalisation, and ReLU; to be called in a compact method."""
    if kernel == 1:  # On CPUs XLA is up to a quarter faster at the product than at a convolution.
        return nn.relu(nn.Dense(channels, precision=_EXACT, name=name)(x))
    kernel = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    if padding == "VALID" and stride == 1:
        # It needs four times as long without the padding (jaxlib 0.10.2), so the rim is cut off.
        return _conv(x, name, channels, kernel)[:, 1:-1, 1:-1]
    return nn.relu(nn.Conv(channels, kernel, (stride, stride), padding, precision=_EXACT,
                           name=name)(x))


class _Block(nn.Module):
    """The five blocks of branches, by the letters of torchvision's classes.

    Attributes:
      kind: "A" to "E".
      variant: of the network.
      width: the one number that differs within a kind: of the pooled branch ("A"), of the 7-long
        convolutions ("C").
      last: whether it is the network's last block.
    """

    kind: Literal["A", "B", "C", "D", "E"]
    variant: Variant
    width: int = 0
    last: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "batch h w c"]) -> Float[Array, "batch h2 w2 d"]:
        def chain(prefix, *steps, start=x):
            """Convolutions one after the other, named prefix_1, prefix_2, ..."""
            for number, (channels, kernel, *rest) in enumerate(steps, 1):
                start = _conv(start, f"{prefix}_{number}", channels, kernel, *rest)
            return start

        def pooled(channels):
            if self.last and self.variant == "tf":
                mean = _max_pool(x, 1)
            else:
                mean = _average_pool(x, count_padding=self.variant == "imagenet")
            return _conv(mean, "branch_pool", channels, 1)

        def forked(x, prefix):
            return [_conv(x, f"{prefix}a", 384, (1, 3)), _conv(x, f"{prefix}b", 384, (3, 1))]

        down = (2, "VALID")
        if self.kind == "A":
            branches = [
                _conv(x, "branch1x1", 64, 1), chain("branch5x5", (48, 1), (64, 5)),
                chain("branch3x3dbl", (64, 1), (96, 3), (96, 3)), pooled(self.width)]
        elif self.kind == "B":
            branches = [
                _conv(x, "branch3x3", 384, 3, *down),
                chain("branch3x3dbl", (64, 1), (96, 3), (96, 3, *down)), _max_pool(x, 2)]
        elif self.kind == "C":
            wide, high, inner = (1, 7), (7, 1), self.width
            branches = [
                _conv(x, "branch1x1", 192, 1),
                chain("branch7x7", (inner, 1), (inner, wide), (192, high)),
                chain("branch7x7dbl", (inner, 1), (inner, high), (inner, wide), (inner, high),
                      (192, wide)), pooled(192)]
        elif self.kind == "D":
            branches = [
                chain("branch3x3", (192, 1), (320, 3, *down)),
                chain("branch7x7x3", (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, *down)),
                _max_pool(x, 2)]
        else:
            branches = [
                _conv(x, "branch1x1", 320, 1),
                *forked(chain("branch3x3", (384, 1)), "branch3x3_2"),
                *forked(chain("branch3x3dbl", (448, 1), (384, 3)), "branch3x3dbl_3"), pooled(192)]
        return jnp.concatenate(branches, axis=-1)


def params_from_torch(
    state: Mapping[str, Shaped[np.ndarray, "..."]], variant: Variant, source: str = "weights"
) -> Params:
    """The parameters of `Inception` from the state dict of PyTorch's network.

    Args:
      state: tensors by name. The auxiliary classifier and the counts of batches may be there.
      variant: that the tensors belong to.
      source: the file that they come from, for messages.

    Raises:
      UserError: names the first tensor that is missing, of another shape, or of no use.
    """
    mend = f"give the weights of the variant {variant!r} of Inception-v3"
    shapes = jax.eval_shape(Inception(variant).init, jax.random.key(0),
                            jnp.zeros((1, SIDE, SIDE, 3)))["params"]
    left = {name for name in state if not any(part in name for part in _UNUSED)}

    def take(name, shape):
        if name not in state:
            raise UserError(source, f"lacks the tensor {name}", mend)
        if state[name].shape != shape:
            raise UserError(source, f"{name} has the shape {list(state[name].shape)} where the "
                            f"network has {list(shape)}", mend)
        left.discard(name)
        return np.asarray(state[name], np.float64)

    params = {}
    for path, leaf in flax.traverse_util.flatten_dict(shapes).items():
        *module, kind = path
        if kind != "kernel":
            continue
        name = ".".join(module)
        if name == "fc":
            kernel, bias = take("fc.weight", leaf.shape[::-1]).T, take("fc.bias", leaf.shape[1:])
        else:
            *window, inputs, outputs = leaf.shape
            kernel = take(f"{name}.conv.weight", (outputs, inputs, *(window or (1, 1))))
            scale, shift, mean, variance = (take(f"{name}.bn.{part}", (outputs,)) for part in (
                "weight", "bias", "running_mean", "running_var"))
            scale = scale / np.sqrt(variance + _EPSILON)
            kernel = kernel.transpose(2, 3, 1, 0).reshape(leaf.shape) * scale
            bias = shift - mean * scale
        params[(*module, "kernel")] = np.ascontiguousarray(kernel, np.float32)
        params[(*module, "bias")] = bias.astype(np.float32)
    if left:
        raise UserError(source, f"has the tensor {min(left)} that the network lacks", mend)
    return flax.traverse_util.unflatten_dict(params)
