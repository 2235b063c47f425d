"""`repose provenance init` and `repose verify`."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Annotated

import tyro

from repose_jax.cli.terminal import parse, say
from repose_jax.common.errors import UserError, printable
from repose_jax.common.signing_keys import (
    INSTALL, NAME, folder, installed, local_key_pair, own_roots, renew)

# The worst of several pictures is what the command exits with.
_CODES = {"broken": 3, "stripped": 4, "none": 5, "untrusted": 0, "trusted": 0}
_UNTRUSTED = 6


@dataclasses.dataclass(frozen=True)
class InitOptions:
    """Make the certificate of this machine that signs pictures, if there is none.

    Attributes:
      name: who signs, as `repose verify` and other readers show it.
      renew: make a new one in place of that which is there; what it signed stays trusted here.
    """

    name: str = NAME
    renew: bool = False


@dataclasses.dataclass(frozen=True)
class VerifyOptions:
    """Say what pictures claim of their origin, who signed that, and whether it is unbroken.

    Exit code 0 where all are unbroken; else that of the worst: 3 one is broken, changed after it was
    signed; 4 stripped, known as generated and without credentials; 5 nothing tells of its origin; 6
    with --trusted, unbroken, but signed by somebody who is not trusted. 2 is a mistake in the command.

    Attributes:
      pictures: PNG or JPEG files.
      roots: PEM of certificates to trust beside those made on this machine, such as your
        organisation's, or the list that C2PA publishes.
      trusted: whether a signer who is not trusted is a fault.
      manifest: a manifest.jsonl, by which stripped pictures are known again by their pixels.
      json: print JSON, one line a picture.
    """

    pictures: Annotated[tuple[pathlib.Path, ...], tyro.conf.Positional, tyro.conf.arg(
        metavar="PICTURE")]
    roots: pathlib.Path | None = None
    trusted: bool = False
    manifest: pathlib.Path | None = None
    json: bool = False


def provenance_init(argv: Sequence[str]) -> int:
    """Make the certificate that signs this machine's pictures."""
    options = parse(InitOptions, "provenance init", argv)
    _check_installed("repose provenance init")
    place = folder()
    if place.exists() and not options.renew:
        if options.name != NAME:
            raise UserError(place, "holds a certificate already", "give --renew for another")
        local_key_pair()
        say(f"{place} holds a certificate already")
        return 0
    renew(options.name) if options.renew else local_key_pair(options.name)
    say(f"made {place / 'certificate.pem'} and its key.pem, which only you may read")
    say(f"others trust your pictures with: repose verify --roots {place / 'roots.pem'} PICTURE")
    return 0


def verify(argv: Sequence[str]) -> int:
    """Say what a picture claims of its origin, by whom, and whether it is unbroken."""
    options = parse(VerifyOptions, "verify", argv)
    if not options.pictures:
        raise UserError("repose verify", "got no picture", "name one or more")
    _check_installed("repose verify")
    from repose_jax.common.credential_report import read_credentials
    from repose_jax.common.picture_manifest import read_manifest

    roots, listed = own_roots(), {}
    if options.roots is not None:
        try:
            more = options.roots.read_bytes()
        except OSError as error:
            raise UserError(options.roots, f"cannot be read ({error.strerror})",
                            "give a PEM file") from None
        if b"-----BEGIN CERTIFICATE-----" not in more:
            raise UserError(options.roots, "holds no certificate", "give a PEM file")
        roots += more
    if options.manifest is not None:
        listed = read_manifest(options.manifest)
    codes = []
    for path in options.pictures:
        found = read_credentials(path, roots, listed)
        status = found.status.name.lower()
        codes.append(_UNTRUSTED if options.trusted and status == "untrusted" else _CODES[status])
        if options.json:
            say(json.dumps({"file": str(path)} | found.to_dict(), sort_keys=True))
            continue
        first, *rest = map(printable, found.lines())
        say("\n".join([f"{printable(str(path))}: {first}", *rest]))
    return min(filter(None, codes), default=0)


def _check_installed(where: str) -> None:
    if not installed():
        raise UserError(where, "needs packages that are not installed", INSTALL)
