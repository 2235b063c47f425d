"""Many pictures through a compiled function, in parts of one size, so that it compiles once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def in_parts(
    function: Callable[[np.ndarray], np.ndarray], pictures: np.ndarray, at_once: int
) -> np.ndarray:
    """What a function gives for each picture.

    Args:
      function: from [at_once, ...] to [at_once, ...]; a picture must not touch its neighbours.
      pictures: [N, ...], N at least 1.
      at_once: pictures a call; the last part is filled up with its own first picture.
    """
    found = []
    for start in range(0, len(pictures), at_once):
        part = pictures[start:start + at_once]
        filled = np.concatenate([part, np.repeat(part[:1], at_once - len(part), axis=0)])
        found.append(np.asarray(function(filled))[:len(part)])
    return np.concatenate(found)
