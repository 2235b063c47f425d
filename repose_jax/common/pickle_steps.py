"""What a pickle asks for, found by looking through its steps before any of them is taken."""

from __future__ import annotations

import io
import pickle
import pickletools

MOST_STEPS = 1_000_000
"""Of a pickle; the weights of a thousand layers take fewer than a hundred thousand."""


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
