"""What a pose file says, before any rule decides what it means."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from repose_jax.pose.skeleton import Skeleton

LARGEST = 1e6  # no picture has so many pixels a side

# How a file may call the unit of its coordinates.
_UNITS = {word: unit for unit, words in {
    "pixels": "pixels pixel px absolute", "percent": "percent percents %",
    "fractions": "fractions fraction normalized normalised relative"}.items()
    for word in words.split()}
# Spellings of a picture's height and width, compared without case, "_" and "-".
_PREFIXES = ("canvas", "image", "img", "picture", "photo", "frame", "original", "orig", "")
_INSIDE = ("image", "img", "picture", "photo", "canvas", "frame", "meta", "metadata", "info")


class Fault(Exception):
    """What is wrong with a file or a row; the caller knows the file and the row's name."""


class NotAPose(Fault):
    """The content is that of no pose file at all, such as a caption."""


@dataclasses.dataclass(kw_only=True)
class RawPerson:
    """One person of a file.

    Attributes:
      name, picture: what the file calls the person, and the picture they are in.
      skeleton: of the joints; None where nothing tells.
      values: [J, 3], x, y and the third number as they are in the file, 1 where the format has none;
        None where the file holds no joint of this person.
      size: (height, width) of the picture, where the file tells.
      fault: why the person cannot be used.
    """

    name: str
    picture: str
    skeleton: Skeleton | None = None
    values: Float[np.ndarray, "joints 3"] | None = None
    size: tuple[int, int] | None = None
    fault: str | None = None


@dataclasses.dataclass(kw_only=True)
class RawFile:
    """A file.

    Attributes:
      format: its name.
      people: in the order of the file.
      unit: of the coordinates where the file states it, or the format fixes it.
      offset: where the format has the centre of the first pixel, which is 0 here.
      decided: whether the writer of the format has left out what it is not sure of.
    """

    format: str
    people: list[RawPerson]
    unit: str | None = None
    offset: float = 0.0
    decided: bool = False


def refuse_constant(name: str):
    """For `json.loads`, which would take NaN and Infinity for numbers."""
    raise Fault(f"has {name} for a number")


def numbers(values: object, what: str) -> list[float]:
    """The values, if they are a list of finite numbers; Fault otherwise."""
    if not isinstance(values, list):
        raise Fault(f"has no list of numbers for {what}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Fault(f"has {str(value)[:40]!r} among the numbers of {what}")
        if not abs(value) <= LARGEST:
            raise Fault(f"has a number of impossible size in {what}")
    return values


def spelled(content: Mapping) -> dict[str, Any]:
    """Keys without case, "_" and "-", as programs differ in these."""
    return {str(key).lower().replace("_", "").replace("-", ""): value
            for key, value in content.items()}


def stated_unit(*places: object) -> str | None:
    """The unit that the first of some dictionaries states; Fault for one that is not known."""
    for place in places:
        keys: dict[str, Any] = spelled(place) if isinstance(place, dict) else {}
        for key in ("unit", "units", "coordinates", "coordinateunit"):
            if isinstance(keys.get(key), str):
                if keys[key].lower() not in _UNITS:
                    raise Fault(f"has the unit {keys[key][:40]!r}, not pixels, fractions or percent")
                return _UNITS[keys[key].lower()]
        for key in ("normalized", "normalised", "isnormalized"):
            if isinstance(keys.get(key), bool):
                return "fractions" if keys[key] else "pixels"
    return None


def pair(values: Sequence, what: str = "size") -> tuple[int, int]:
    """(height, width) of two numbers; Fault where they are no size."""
    values = numbers(list(values), f"the {what}")
    if len(values) != 2 or min(values) < 1:
        raise Fault(f"has the size {values}, not [height, width]")
    return int(values[0]), int(values[1])


def stated_size(*places: object) -> tuple[int, int] | None:
    """(height, width) of a picture from the first of some dictionaries that tells it.

    Raises:
      Fault: it tells one side only, two different sizes, or a list whose order it does not tell.
    """
    for place in places:
        if isinstance(place, dict) and (found := _size_in(place)):
            return found
    return None


def _size_in(place: dict) -> tuple[int, int] | None:
    keys, found = spelled(place), dict[str, tuple[int, int]]()
    # A box has a width and a height too.
    prefixes = _PREFIXES[:-1] if keys.keys() & {"x", "left", "x1", "xmin", "cx"} else _PREFIXES
    for prefix in prefixes:
        for high, wide in (("height", "width"), ("h", "w")):
            sides = [keys.get(prefix + high), keys.get(prefix + wide)]
            if sides.count(None) == 1:
                told = ["image_height", "image_width"][::-1 if sides[0] is None else 1]
                raise Fault(f"tells {told[0]} and no {told[1]}")
            if None not in sides:
                found[prefix + high] = pair(sides)
    if isinstance(keys.get("size"), list):
        found["size"] = pair(keys["size"])
    for name in ("imgshape", "imageshape", "orishape", "shape"):
        if isinstance(keys.get(name), list):
            found[name] = pair(keys[name][:2], name)
    for name in ("imagesize", "imgsize", "canvassize", "resolution"):
        if isinstance(keys.get(name), list):
            if len(set(pair(keys[name], name))) > 1:
                raise Fault(f"has the {name} {keys[name]} and does not tell which is the height; "
                            "write image_height and image_width")
            found[name] = pair(keys[name], name)
    for name in (*_INSIDE, "imagesize", "imgsize", "canvassize", "resolution", "size"):
        if isinstance(keys.get(name), dict) and (inner := _size_in(keys[name])):
            found[name] = inner
    if len(set(found.values())) > 1:
        told = " and ".join(f"{h}x{w}" for h, w in dict.fromkeys(found.values()))
        raise Fault(f"tells the sizes {told} of one picture; leave the right one")
    return next(iter(found.values()), None)
