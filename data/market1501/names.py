"""What the name of a picture tells: the person."""

from __future__ import annotations

import re

#: What stands for no person: junk everywhere, and in Market-1501's own folders (Zheng et al., ICCV
#: 2015) distractors too. Elsewhere, as in MSMT17, 0000 is somebody.
JUNK = ("-1",)
DISTRACTORS = (*JUNK, "0000")
_NUMBERED = re.compile(r"((?:person|subject|identity|id|pid)_\d+)_", re.IGNORECASE)


def person_of(name: str) -> str:
    """The person that a file name belongs to: the name up to the first "_".

    Where that is only the word for a person, as in person_001_002.jpg, their number goes with it.
    """
    numbered = _NUMBERED.match(name)
    return numbered[1] if numbered else name.split("_", 1)[0]
