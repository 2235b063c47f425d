"""Kinds of devices, as their makers state them."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Chip:
    """A kind of device.

    Attributes:
      flops: peak of bfloat16 multiplications and additions a second, without sparsity.
      memory: bytes.
    """

    flops: float
    memory: float


CHIPS = {"v4": Chip(275e12, 32 * 2**30), "v5e": Chip(197e12, 16 * 2**30),
         "v5p": Chip(459e12, 95 * 2**30), "v6e": Chip(918e12, 32 * 2**30),
         "a100": Chip(312e12, 80e9), "h100": Chip(989e12, 80e9), "h200": Chip(989e12, 141e9)}
# What JAX calls them (`Device.device_kind`); the first that fits.
_KINDS = (("TPU v4", "v4"), ("TPU v5 lite", "v5e"), ("TPU v5e", "v5e"), ("TPU v5", "v5p"),
          ("TPU v6 lite", "v6e"), ("TPU v6e", "v6e"), ("NVIDIA A100", "a100"),
          ("NVIDIA H100 PCIe", None), ("NVIDIA H100", "h100"), ("NVIDIA H200", "h200"))


def chip_of(device_kind: str) -> Chip | None:
    """The chip by the name that JAX gives it; None where its peak is not known."""
    for words, name in _KINDS:
        if device_kind.startswith(words):
            return CHIPS[name] if name else None
    return None


def counted_once(flops: float, accumulate: int) -> float:
    """Operations of a step from those that the compiler counts, which are of a loop's body once.

    Of the parts of an accumulated batch the first stands outside of the loop, so two are counted.
    """
    return flops * accumulate / 2 if accumulate > 2 else flops
