"""Runs a module on parameters alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn


def apply(module: nn.Module, params: Mapping[str, Any], *inputs: Any, **options: Any) -> Any:
    """What a module makes of inputs; it must not ask for mutable collections.

    With those, `module.apply` returns a pair, which its type says of every call.

    Args:
      module: the network.
      params: its parameters.
      *inputs: of the method.
      **options: of `module.apply` ("method", "rngs") and of the method.
    """
    return module.apply({"params": params}, *inputs, **options)
