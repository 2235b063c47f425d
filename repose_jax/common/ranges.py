"""What a field of a configuration may hold, said where the field is declared.

    @dataclasses.dataclass(frozen=True)
    class Config:
        workers: Natural = 0
        share: Annotated[float, Range(0, 1, open_low=True)] = 1.0

        def __post_init__(self):
            check_fields(self, "data")

A field is as its annotation says: the type, one of the words of a `Literal`, within every `Range`
of an `Annotated`. The same check serves the command line, Python and files.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import types
import typing
from typing import Annotated, Any, Literal

from repose_jax.common.errors import UserError

_MANY = 2**53
"""More than anything that is counted here; floats count exactly up to it."""


def added(default: Any) -> Any:
    """A dataclass field that older files lack: `repose_jax.common.fields.identity` leaves it out while
    it has its default."""
    return dataclasses.field(default=default, metadata={"added": True})


@dataclasses.dataclass(frozen=True)
class Range:
    """The finite numbers from `low` to `high`.

    Attributes:
      low, high: the ends.
      open_low, open_high: whether an end itself is left out.
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: Any) -> bool:
        try:
            finite = math.isfinite(value)
        except OverflowError:  # an integer that no float is as large as
            return False
        above = self.low < value if self.open_low else self.low <= value
        below = value < self.high if self.open_high else value <= self.high
        return finite and above and below

    def __str__(self) -> str:
        low = f"{'above ' * self.open_low}{self.low:.10g}"
        if self.high >= _MANY:
            if math.isinf(self.low):
                return "a finite number"
            return f"a number {low}" if self.open_low else f"{low} or more"
        return f"{low} to {'below ' * self.open_high}{self.high:.10g}"


Natural = Annotated[int, Range(0, _MANY)]
Positive = Annotated[int, Range(1, _MANY)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Finite = Annotated[float, Range()]
Fraction = Annotated[float, Range(0, 1)]
Weight = Annotated[float, Range(0)]
Workers = Annotated[int, Range(0, 1024)]  # processes
Side = Annotated[int, Range(1, 8192)]  # of a picture, in pixels
Width = Annotated[int, Range(1, 2**16)]  # of a layer
Scene = Literal["view", "person"]  # of rendered people: anew in each picture, or each person's own
Framing = Literal["whole", "any"]  # of rendered people: from head to foot, or also parts of them
Cloth = Literal["smooth", "creased", "loose"]  # of rendered people
# Of rendered people: with the trunk, mostly; also aside; also aside, with faces that have shades.
Heads = Literal["following", "turning", "lifelike"]
Bodies = Literal["cones", "makehuman"]  # of rendered people: see `data.people.makehuman`
Depth = Annotated[int, Range(1, 64)]  # in layers: each is compiled by itself


def check_fields(config: Any, where: str = "") -> None:
    """Refuses a dataclass with a field that its annotation does not allow, also one of its fields'.

    Args:
      config: the dataclass.
      where: what errors put before the field's name; fields are named as options are.

    Raises:
      UserError: names the first field at fault.
    """
    for name, hint in _hints(type(config)).items():  # type: ignore[arg-type]  # types are hashable
        value, option = getattr(config, name), name.replace("_", "-")
        option = f"{where}.{option}" if where else option
        if dataclasses.is_dataclass(value):
            # tyro's `arg(name="")`: options of a group that bear no name before their own.
            bare = any(getattr(note, "name", None) == "" for note in typing.get_args(hint)[1:])
            check_fields(value, where if bare else option)
        elif (wanted := expectation(value, hint)) is not None:
            raise UserError(option, f"is {shown(value)}", f"give {wanted}")


def check_seed(seed: int) -> None:
    """Refuses a seed that is no field's and that no key can be made of, with a UserError."""
    if not 0 <= seed < 2**32:
        raise UserError("seed", f"is {seed}", "give 0 to 4294967295")


def shown(value: Any) -> str:
    """A value in an error."""
    # Python refuses to print integers of more than some thousand digits.
    if isinstance(value, int) and value.bit_length() > 256:
        return "a huge number"
    return "none" if value is None else f"{value if isinstance(value, str) else repr(value):.60}"


def expectation(value: Any, hint: Any) -> str | None:
    """What a field should hold, in words after "give"; None where the value is so."""
    kind, options = typing.get_origin(hint), typing.get_args(hint)
    if kind is Annotated:
        wanted = expectation(value, options[0])
        bounds = [bound for bound in options[1:] if isinstance(bound, Range)]
        if wanted is None and isinstance(value, numbers.Real):
            bounds = [bound for bound in bounds if value not in bound]
            return str(bounds[0]) if bounds else None
        return str(bounds[0]) if wanted is not None and bounds else wanted
    if kind is Literal:
        return None if value in options else f"one of {', '.join(map(str, options))}"
    if kind in (typing.Union, types.UnionType):
        all_wanted = [expectation(value, option) for option in options]
        return None if None in all_wanted else all_wanted[0]
    if kind is tuple:
        return _tuple_expectation(value, options)
    if hint is type(None):
        return None if value is None else "none"
    if hint in _TYPES:
        accepted, words = _TYPES[hint]
        good = isinstance(value, accepted) and (hint is bool or not isinstance(value, bool))
        return None if good else words
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return None if isinstance(value, hint) else "a table of settings"
    return None


_TYPES = {
    bool: (bool, "true or false"), int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"), str: (str, "a text")}


def _tuple_expectation(value: Any, options: tuple) -> str | None:
    if not isinstance(value, (tuple, list)):
        return "a list"
    if len(options) == 2 and options[1] is Ellipsis:
        options = options[:1] * len(value)
    if len(value) != len(options):
        return f"{len(options)} values"
    return next((f"values of {wanted}" for item, option in zip(value, options, strict=True)
                 if (wanted := expectation(item, option)) is not None), None)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
