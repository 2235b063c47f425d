"""Dataclasses as JSON-able dicts, and back."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from repose_jax.common.errors import UserError


def to_dict(config: Any) -> Any:
    """A dataclass as JSON-able dicts and lists."""
    if dataclasses.is_dataclass(config):
        return {f.name: to_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, (tuple, list)):
        return [to_dict(item) for item in config]
    return config


def added(default: Any) -> Any:
    """A dataclass field that older files lack: `identity` leaves it out while it has its default."""
    return dataclasses.field(default=default, metadata={"added": True})


def identity(config: Any) -> Any:
    """`to_dict` for comparing runs: equal for configurations written before a field was added."""
    if dataclasses.is_dataclass(config):
        return {f.name: identity(getattr(config, f.name)) for f in dataclasses.fields(config)
                if not f.metadata.get("added") or getattr(config, f.name) != f.default}
    return to_dict(config)


def from_dict(kind: Any, values: Any, where: str = "configuration") -> Any:
    """The dataclass that `to_dict` wrote.

    Fields that are absent keep their defaults, so that an older file stays readable.

    Raises:
      UserError: for a field that the dataclass does not have, naming it.
    """
    if not dataclasses.is_dataclass(kind):
        return tuple(values) if isinstance(values, list) else values
    hints = typing.get_type_hints(kind)
    unknown = set(values) - set(hints)
    if unknown:
        raise UserError(where, f"has unknown fields {', '.join(sorted(unknown))}",
                        "it was written by another version of this package")
    return kind(**{name: from_dict(hints[name], value, f"{where}.{name}")
                   for name, value in values.items()})
