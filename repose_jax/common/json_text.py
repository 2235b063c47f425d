"""JSON from strangers: a value, or one line."""

from __future__ import annotations

import json
import os
from typing import Any

from repose_jax.common.errors import UserError


_DEPTH = 100


def parse_json(text: str | bytes, where: str | os.PathLike[str], what: str, hint: str) -> Any:
    """The value of a JSON text, of any depth, length and encoding.

    Args:
      text: the text.
      where: the file or field that errors name.
      what: is wrong with one that holds none.
      hint: what the user can do about one that is damaged.

    Raises:
      UserError: it is none, or nested too deeply for any use here.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise UserError(where, f"{what} (nested too deeply)", hint) from None
    except ValueError as error:  # of syntax, of encoding, or a number of thousands of digits
        raise UserError(where, f"{what} ({str(error):.120})", hint) from None
    inner, depth = [value], 0
    while inner := [item for outer in inner if isinstance(outer, (list, dict)) for item in (
            outer.values() if isinstance(outer, dict) else outer)]:
        depth += 1
        if depth > _DEPTH:  # whoever goes through it by recursion must get to its end
            raise UserError(where, f"{what} (nested too deeply)", hint)
    return value
