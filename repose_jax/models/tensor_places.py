"""Weights of other programs: where each of their tensors goes, and what is said of those that do not
fit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from repose_jax.common.errors import UserError

Array = Float[np.ndarray, "..."]

SHOWN = 6
"""Names that an error lists."""


class Place(NamedTuple):
    """Where a tensor goes: its name in the file, its path here, what makes the one of the other."""

    theirs: str
    ours: str
    change: Callable[[Array], Array]


def same(x: Array) -> Array:
    """As it is."""
    return x


def conv(x: Array) -> Array:
    """A kernel of PyTorch's convolution as Flax has it."""
    return x.transpose(2, 3, 1, 0)


def linear(x: Array) -> Array:
    """A matrix of PyTorch's as Flax has it."""
    return x.T


def layer(theirs: str, ours: str, change: Callable[[Array], Array]) -> Iterator[Place]:
    """Weight and bias of a convolution or a matrix."""
    yield Place(f"{theirs}.weight", f"{ours}/kernel", change)
    yield Place(f"{theirs}.bias", f"{ours}/bias", same)


def norm(theirs: str, ours: str) -> Iterator[Place]:
    """Scale and bias of a normalisation."""
    yield Place(f"{theirs}.weight", f"{ours}/scale", same)
    yield Place(f"{theirs}.bias", f"{ours}/bias", same)


def some(names: Sequence[str]) -> str:
    """The first of many names."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN]):.400}{more}"


def refuse_values(path: str | os.PathLike[str], state: Mapping[str, Array]) -> None:
    """Raises UserError, naming them, for tensors that are no finite floats."""
    wrong = [name for name, value in state.items()
             if value.dtype.kind != "f" or not np.isfinite(value).all()]
    if wrong:
        raise UserError(path, f"{some(wrong)} with values that are no finite floats",
                        "fetch it again, or give an earlier checkpoint")


def placed(
    path: str | os.PathLike[str], state: Mapping[str, Array], places: Sequence[Place],
    like: Mapping[str, Any], hint: str, ignored: Callable[[str], Any] = lambda name: False,
) -> dict[str, Array]:
    """The tensors in their places, float32.

    Args:
      path: of the file, for the error.
      state: tensors by their names.
      places: where they go.
      like: shapes by our paths.
      hint: the error's mend.
      ignored: which names may be there without a place.

    Raises:
      UserError: some are missing, unexpected or misshapen.
    """
    known = {place.theirs for place in places}
    missing = sorted(known - set(state))
    unexpected = sorted(name for name in state if name not in known and not ignored(name))
    params, misshapen = {}, []
    for theirs, ours, change in places:
        if theirs in state and ours in like:
            try:
                value = change(state[theirs])
            except (ValueError, IndexError):  # of another number of axes
                value = state[theirs]
            if value.shape == like[ours].shape:
                params[ours] = np.ascontiguousarray(value, np.float32)
            else:
                misshapen.append(f"{theirs} {value.shape} for {like[ours].shape}")
        elif theirs in state:
            unexpected.append(theirs)
    wrong = [f"{what} {some(names)}" for what, names in
             (("lacks", missing), ("has unexpected", unexpected), ("has misshapen", misshapen))
             if names]
    if wrong:
        raise UserError(path, "; ".join(wrong), hint)
    return params
