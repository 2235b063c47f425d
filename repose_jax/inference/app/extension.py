"""What rooms above this one bring to the page's server."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

Answer = Callable[[Any], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Extension:
    """What a server answers besides, which rooms above this one bring.

    Attributes:
      posted: what is posted to a path, and what answers it.
      told: what a path tells.
    """

    posted: Mapping[str, tuple[type, Answer]] = dataclasses.field(default_factory=dict)
    told: Mapping[str, Callable[[], dict[str, Any]]] = dataclasses.field(default_factory=dict)
