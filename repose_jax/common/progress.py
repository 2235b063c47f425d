"""What long work tells those who wait for it, and the seed that it takes."""

from __future__ import annotations

from collections.abc import Callable

from repose_jax.common.errors import UserError

Progress = Callable[[str, int, int], None]
"""Told (stage, done, of how many)."""


def silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody hears."""


def check_seed(seed: int) -> None:
    """Refuses a seed that no key can be made of, with a UserError."""
    if not 0 <= seed < 2**32:
        raise UserError("seed", f"is {seed}", "give 0 to 4294967295")
