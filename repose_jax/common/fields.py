"""Dataclasses as JSON-able dicts, and back."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from repose_jax.common.errors import UserError
from repose_jax.common.ranges import added as added, expectation, shown


def to_dict(config: Any) -> Any:
    """A dataclass as JSON-able dicts and lists."""
    if dataclasses.is_dataclass(config):
        return {f.name: to_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, (tuple, list)):
        return [to_dict(item) for item in config]
    return config


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
      UserError: for a field that the dataclass does not have, or whose value its annotation does
        not allow (see `repose_jax.common.ranges`), naming it.
    """
    if not dataclasses.is_dataclass(kind):
        items = typing.get_args(kind)
        if isinstance(values, list) and typing.get_origin(kind) is tuple and (
                dataclasses.is_dataclass(items[0])):
            return tuple(from_dict(items[0], value, f"{where}[{number}]")
                         for number, value in enumerate(values))
        return _tuples(values)
    if not isinstance(values, dict):
        raise UserError(where, f"is {shown(values)}", "give a table of settings")
    hints = typing.get_type_hints(kind, include_extras=True)
    unknown = set(values) - set(hints)
    if unknown:
        raise UserError(where, f"has unknown fields {', '.join(sorted(unknown)):.200}",
                        "it was written by another version of this package")
    fields = {}
    for name, value in values.items():
        fields[name] = from_dict(hints[name], value, f"{where}.{name}")
        if (wanted := expectation(fields[name], hints[name])) is not None:
            raise UserError(f"{where}.{name}", f"is {shown(value)}", f"give {wanted}")
    try:
        return kind(**fields)  # type: ignore[operator]  # a class, though also instances pass
    except TypeError:
        missing = [field.name for field in dataclasses.fields(kind) if field.name not in fields
                   and field.default is field.default_factory is dataclasses.MISSING]
        if not missing:
            raise
        raise UserError(where, f"lacks {', '.join(missing)}",
                        "it was written by another version of this package") from None


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def given(options: Any, *names: str) -> dict[str, Any]:
    """The fields of a dataclass that are not None, all of them or those named."""
    return {name: value for name in names or [f.name for f in dataclasses.fields(options)]
            if (value := getattr(options, name)) is not None}
