"""`repose models`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tyro

from repose_jax.cli.terminal import parse, say


@dataclasses.dataclass(frozen=True)
class ModelsOptions:
    """List the models that ship with the package, or print a model's card.

    Attributes:
      name: the model whose card is wanted.
    """

    name: tyro.conf.Positional[str | None] = None


def models(argv: Sequence[str]) -> int:
    """List the models that ship with the package, or print one's card."""
    options = parse(ModelsOptions, "models", argv)
    from repose_jax.models.weights import bundled, card

    if options.name is not None:
        say(card(options.name))
        return 0
    width = max(map(len, bundled()))
    for name, path in bundled().items():
        say(f"{name:{width}} {path.stat().st_size / 1e6:.1f} MB  {card(name).splitlines()[2]}")
    return 0
