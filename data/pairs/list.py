"""Lists of pairs as the field's files have them: which picture is repainted in whose pose."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from repose_jax.common.errors import UserError
from repose_jax.pose.formats import read_text


class NamedPair(NamedTuple):
    """A pair by the names of its pictures.

    Attributes:
      line: of the file, from 1.
      source, target: names as the file has them.
    """

    line: int
    source: str
    target: str


def read_pair_list(path: str | os.PathLike[str]) -> list[NamedPair]:
    """Reads a list of pairs.

    A CSV holds lines `from,to` (PATN, GFLA, DPTN, CFLD; that header line may be there). A text file
    holds lines `TARGET,SOURCE[,SOURCE...]`, each source a pair of its own (NTED, PIDM, X-MDPT).

    Raises:
      UserError: the file cannot be read, a line has the wrong number of names, or there is none.
    """
    reversed_order = pathlib.Path(path).suffix.lower() == ".txt"
    pairs = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip() or (number == 1 and line.strip() == "from,to"):
            continue
        names = [part.strip() for part in line.split(",")]
        if reversed_order and len(names) > 1 and all(names):
            pairs += [NamedPair(number, source, names[0]) for source in names[1:]]
        elif not reversed_order and len(names) == 2:
            pairs.append(NamedPair(number, *names))
        else:
            mend = ("each line is the target and its sources" if reversed_order
                    else "each line is from,to: two file names")
            raise UserError(path, f"line {number} has {len(names)} fields", mend)
    return pairs


def find_pairs(
    path: str | os.PathLike[str], index: Mapping[str, int], left_out: frozenset[str] = frozenset(),
    key: Callable[[str], str] = str, *, strict: bool = True,
) -> tuple[Int32[np.ndarray, "p 2"], int, list[str]]:
    """Reads a list of pairs as picture numbers.

    Args:
      path: the list, see `read_pair_list`.
      index: number of each picture by the key of its name.
      left_out: keys of the names whose pairs are dropped and counted.
      key: makes the key of a name.
      strict: refuse the first name that is neither in `index` nor in `left_out`.

    Returns:
      The pairs [P, 2], how many were dropped, and the names that are in neither.
    """
    pairs, dropped, unknown = [], 0, {}
    for number, *names in read_pair_list(path):
        keys = [key(name) for name in names]
        if left_out.intersection(keys):
            dropped += 1
            continue
        strange = [name for name, known in zip(names, keys, strict=True) if known not in index]
        if strange and strict:
            raise UserError(path, f"line {number} names {strange[0]}, which has no annotation",
                            "drop the line or annotate the picture")
        unknown |= dict.fromkeys(strange)
        if not strange:
            pairs.append([index[known] for known in keys])
    return np.array(pairs, np.int32).reshape(-1, 2), dropped, list(unknown)
