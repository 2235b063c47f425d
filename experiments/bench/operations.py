"""Multiplications and additions of a function, those of a loop once for each of its turns.

XLA's own count of a program, `cost_analysis`, has a loop's body once, however long it runs, so that
it cannot tell pictures of different numbers of steps apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr


def operations(function: Callable[..., Any], *args: Any) -> int:
    """Of the matrix products and convolutions of `function(*args)`; nothing is run.

    Everything else, a few percent in a U-Net, is left out. Of a conditional the dearest branch counts.

    Args:
      function: pure.
      *args: arrays or their shapes.

    Raises:
      ValueError: for a loop whose length is not known beforehand.
    """
    return _counted(jax.make_jaxpr(function)(*args).jaxpr)


def _counted(jaxpr: Jaxpr) -> int:
    return sum(_of(equation) for equation in jaxpr.eqns)


def _of(equation) -> int:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        left = equation.invars[0].aval.shape
        return 2 * equation.outvars[0].aval.size * math.prod(left[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel = equation.invars[1].aval
        outputs = kernel.shape[params["dimension_numbers"].rhs_spec[0]]
        return 2 * equation.outvars[0].aval.size * kernel.size // outputs
    inner = [_counted(each) for each in _jaxprs(params)]
    if name == "while" and any(inner):
        raise ValueError("a loop of unknown length cannot be counted")
    if name == "cond":
        return max(inner)
    return sum(inner) * params.get("length", 1)


def _jaxprs(params: dict[str, Any]) -> Iterator[Jaxpr]:
    for value in params.values():
        for each in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(each, ClosedJaxpr):
                yield each.jaxpr
            elif isinstance(each, Jaxpr):
                yield each
