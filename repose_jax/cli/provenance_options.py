"""The options of every command that writes generated pictures: who signs them, and what they say."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable

from repose_jax.common.errors import UserError
from repose_jax.common.provenance import Seal, checked_note

_VARIABLES = {"certificate": "REPOSE_PROVENANCE_CERTIFICATE", "key": "REPOSE_PROVENANCE_KEY"}


@dataclasses.dataclass(frozen=True)
class ProvenanceOptions:
    """Content credentials of the pictures.

    Attributes:
      sign: whether pictures are signed, where the extra `provenance` is installed.
      certificate, key: PEM files of an organisation's certificate, with those that signed it after it,
        and of its private key; by default those that $REPOSE_PROVENANCE_CERTIFICATE and
        $REPOSE_PROVENANCE_KEY name, or else a certificate made on this machine.
      consent: a note on the consent of the person in the photo, which the pictures carry.
      thumbnail: whether the credentials hold a small picture of the source photo.
    """

    sign: bool = True
    certificate: pathlib.Path | None = None
    key: pathlib.Path | None = None
    consent: str = ""
    thumbnail: bool = False

    def __post_init__(self):
        checked_note(self.consent, "--provenance.consent")


def seal_of(options: ProvenanceOptions, say: Callable[[str], None]) -> Seal | None:
    """What signs the pictures of a command; None where nothing does, which is said.

    Raises:
      UserError: the certificate or its key cannot be used, or is asked for where the extra is missing.
    """
    from repose_jax.common.signing_keys import INSTALL, folder, installed, local_key_pair, read_key_pair

    if not options.sign:
        return None
    given = {name: getattr(options, name) or _from_environment(variable)
             for name, variable in _VARIABLES.items()}
    for name, other in (("certificate", "key"), ("key", "certificate")):
        if given[name] and not given[other]:
            raise UserError(f"--provenance.{other}", f"is missing beside the {name}",
                            "give both, or neither")
    if not installed():
        if given["key"] or options.thumbnail:
            raise UserError("--provenance", "needs packages that are not installed", INSTALL)
        say(f"note: pictures say in their PNG text what they are, and are not signed; {INSTALL} brings "
            "content credentials")
        return None
    from repose_jax.common.content_credentials import Credentials

    if given["key"] and given["certificate"]:
        pair = read_key_pair(given["certificate"], given["key"])
    else:
        if not folder().exists():
            say(f"note: a certificate is made in {folder()}, which signs the pictures")
        pair = local_key_pair()
    return Credentials(pair, options.thumbnail)


def _from_environment(variable: str) -> pathlib.Path | None:
    value = os.environ.get(variable)
    return pathlib.Path(value) if value else None
