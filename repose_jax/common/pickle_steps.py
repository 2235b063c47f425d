"""Pickles from strangers, read at a cost that is known before it is paid.

A pickle is a program of steps. Its steps are looked through first, for how many they are and for
memory that nothing fills; then Python's own reader of pickles takes them, the one that is written in
Python, so that each step that can cost more than itself is counted: what is used as a key, what is
copied, what is called with much. What it may name, a subclass says.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

MOST_STEPS = 1_000_000
"""Of a pickle; the weights of a thousand layers take fewer than a hundred thousand."""

_MOST_WORK = 20_000_000
"""Bytes and things that a pickle's steps may copy, beside four times what it consists of itself."""
_KEY_PARTS, _KEY_BITS, _TUPLE_KEYS = 8, 64, 1000


class AsksTooMuch(pickle.UnpicklingError):
    """A pickle would take time or memory out of proportion; the text says why."""


def check_steps(file: io.BytesIO, most: int = MOST_STEPS) -> None:
    """Looks through the pickle that begins at a file's place, and leaves the file there.

    Args:
      file: whose strings and bytes are then known to be there whole.
      most: steps that the pickle may have.

    Raises:
      AsksTooMuch: more steps, or memory for places that its things cannot fill.
      ValueError: for bytes that are no pickle, or half of one.
    """
    start, kept = file.tell(), 0
    with _escapes_unheard():
        for count, (step, argument, _) in enumerate(pickletools.genops(file)):
            if count >= most:
                raise AsksTooMuch(f"has a pickle of more than {most} steps")
            if step.name == "MEMOIZE":
                kept += 1
            elif step.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument is not None:
                # Places are given out one after the other; memory is taken for all up to the highest.
                kept += 1
                if argument > 2 * kept + 256:
                    raise AsksTooMuch(
                        f"has a pickle that keeps place {argument} for its thing {kept}")
    file.seek(start)


def _escapes_unheard() -> warnings.catch_warnings:
    """Python warns of unknown escapes in the words of a pickle, as if they were code of ours."""
    return warnings.catch_warnings(action="ignore")


def check_key(key: Any) -> None:
    """Refuses a key of a dictionary that may be slow to hash, or to tell from others.

    Words, numbers that fit a machine's, bytes and things that are equal to themselves alone are
    quick. Tuples are hashed anew whenever they are used, and one that holds others twice, which do
    so too, stands for more numbers than there is time for; so they may hold a few of these only.

    Raises:
      AsksTooMuch: it is another.
    """
    parts = key if type(key) is tuple else (key,)
    if len(parts) > _KEY_PARTS or not all(map(_quick, parts)):
        raise AsksTooMuch("has a pickle with a key that is no word and no number")


def _quick(part: Any) -> bool:
    if type(part) is int:
        return part.bit_length() <= _KEY_BITS
    return part is None or type(part) in (str, bytes, bool, float) or (
        type(part).__hash__ is object.__hash__)


def ordered(pairs: Any = ()) -> OrderedDict:
    """An OrderedDict as a pickle may ask for it, of a list of keys and values."""
    made = OrderedDict()
    for key, value in pairs:
        check_key((key,))  # alone, so that it is no tuple
        made[key] = value
    return made


def _checked(step: bytes, check: Callable[[Any], None]) -> Callable[[Any], None]:
    """What a reader of pickles does at a step, once that is checked."""
    take: Callable[[Any], None] = pickle._Unpickler.dispatch[step[0]]

    def do(unpickler: Any) -> None:
        check(unpickler)
        take(unpickler)

    return do


class BoundedUnpickler(pickle._Unpickler):
    """Takes the steps of a pickle that `check_steps` has looked through, and counts what they copy.

    It names nothing; a subclass has a `find_class`.

    Args:
      file: at the start of the pickle.
      encoding: of Python 2's words.
    """

    stack: list[Any]  # since the last mark
    metastack: list[list[Any]]

    def __init__(self, file: io.BytesIO, *, encoding: str = "ASCII"):
        super().__init__(file, encoding=encoding)
        self._work, self._tuple_keys = _MOST_WORK + 4 * file.getbuffer().nbytes, 0

    def load(self) -> Any:
        """What the pickle holds."""
        with _escapes_unheard():
            return super().load()

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle may name: nothing."""
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def _count(self, *things: Any) -> None:
        """Counts what a step copies, by the length of each thing."""
        self._work -= sum(len(thing) for thing in things if hasattr(type(thing), "__len__"))
        if self._work < 0:
            raise AsksTooMuch("has a pickle that copies its content again and again")

    def _check_keys(self, keys: list[Any]) -> None:
        for key in keys:
            check_key(key)
            # Unlike those of words, their hashes can be made to be equal, and dictionaries slow.
            self._tuple_keys += type(key) is tuple
        if self._tuple_keys > _TUPLE_KEYS:
            raise AsksTooMuch(f"has a pickle of more than {_TUPLE_KEYS} keys that are tuples")

    def _check_mapping(self, mapping: Any) -> None:
        if hasattr(mapping, "__array__"):
            raise pickle.UnpicklingError("it changes an array")

    def _setitem(self) -> None:
        self._check_keys(self.stack[-2:-1])
        self._check_mapping(self.stack[-3])

    def _setitems(self) -> None:
        self._check_keys(self.stack[::2])
        self._check_mapping(self.metastack[-1][-1])

    def _keys(self) -> None:
        self._check_keys(self.stack[::2])

    def _members(self) -> None:
        self._check_keys(self.stack)

    def _build(self) -> None:
        state, thing = self.stack[-1], self.stack[-2]
        if isinstance(thing, (type, types.FunctionType, types.BuiltinFunctionType)):
            raise pickle.UnpicklingError("it changes what it names")
        self._count(state, *(state if isinstance(state, tuple) else ()))

    def _call(self) -> None:
        arguments = self.stack[-1]
        self._count(arguments, *arguments)

    def _call_by_name(self) -> None:
        arguments, named = self.stack[-2:]
        self._count(arguments, *arguments, named, *named.values())

    def _old(self) -> None:
        raise pickle.UnpicklingError("it makes a thing as Python 2 did its old classes")

    dispatch = {**pickle._Unpickler.dispatch, **{
        step[0]: _checked(step, check) for step, check in (
            (pickle.SETITEM, _setitem), (pickle.SETITEMS, _setitems), (pickle.DICT, _keys),
            (pickle.ADDITEMS, _members), (pickle.FROZENSET, _members), (pickle.BUILD, _build),
            (pickle.REDUCE, _call), (pickle.NEWOBJ, _call), (pickle.NEWOBJ_EX, _call_by_name),
            (pickle.OBJ, _old), (pickle.INST, _old))}}
