"""`repose transfer`."""

from __future__ import annotations

from collections.abc import Sequence

from tqdm import tqdm

from repose_jax.cli.terminal import parse, say, use_compilation_cache


def transfer(argv: Sequence[str]) -> int:
    """Paint the person of a photo in another pose."""
    from repose_jax.inference.transfer import TransferOptions, run

    options = parse(TransferOptions, "transfer", argv)
    use_compilation_cache()
    run(options, say, lambda total: tqdm(total=total, unit="picture"))
    return 0
