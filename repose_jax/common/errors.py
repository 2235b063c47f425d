"""The one error a user may see.

Anything that goes wrong because of what the user gave (a file, a flag, a folder) is raised as
`UserError`; the command line prints it as one line and exits with code 2. Every other exception is
a defect of this package and keeps its traceback.
"""

from __future__ import annotations

import os
import unicodedata


_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
_LONGEST = 800


def printable(text: str) -> str:
    """A line that does not steer the terminal, whatever a stranger's file has in it.

    Spaces of any width, and what joins letters, belong to names and stay.
    """
    return "".join(
        c if c.isprintable() or unicodedata.category(c) == "Zs" or c in _JOINERS
        else "\N{REPLACEMENT CHARACTER}" for c in text)


class UserError(Exception):
    """What the user gave cannot be used.

    Args:
      where: the file, folder or option at fault.
      what: what is wrong with it.
      mend: what the user can do about it.
    """

    def __init__(self, where: str | os.PathLike[str], what: str, mend: str):
        self.where, self.what, self.mend = os.fspath(where), what, mend
        # A stranger's file may have words of any length, and they are quoted.
        what, mend = (" ".join(text.split()) for text in (what, mend))
        what = what if len(what) <= _LONGEST else f"{what[:_LONGEST]}..."
        super().__init__(printable(f"{self.where}: {what}; {mend}"))

    def __reduce__(self):
        # By default it would be rebuilt from its message, and kill the pool it is raised in.
        return type(self), (self.where, self.what, self.mend)
