"""Content credentials (C2PA) in the pictures that are painted: what made them, from what, signed.

A picture's manifest says

    c2pa.created, digitalSourceType trainedAlgorithmicMedia, by this software and its version
    the photo that it was painted from, an ingredient `inputTo`, with its own credentials if it has any
    org.repose-jax.picture: model, hashes, settings, seed, poses, consent, as `picture_text` has them

No names of files are in it, and no picture of the photo unless it is asked for. Nothing is asked of a
network: there is no time stamp of a third party, and no revocation is looked up.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageOps

import repose_jax
from repose_jax.common.errors import UserError
from repose_jax.common.provenance import SOURCE_TYPE, details
from repose_jax.common.signing_keys import KeyPair, algorithm

ASSERTION = "org.repose-jax.picture"
OFFLINE: dict[str, Any] = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
_UNKNOWN = "application/octet-stream"
_STARTS = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
_THUMBNAIL = 256  # pixels of its longer side


def mime_type(content: bytes) -> str:
    """The MIME type of a picture, by its content; of an unknown one that of bytes."""
    for kind, start in _STARTS.items():  # also of those that are damaged further on
        if content.startswith(start):
            return kind
    try:
        with Image.open(io.BytesIO(content)) as picture:
            return Image.MIME.get(picture.format or "", _UNKNOWN)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return _UNKNOWN


class Credentials:
    """Signs pictures.

    Args:
      pair: the certificate and its key; they are tried out at once.
      thumbnail: whether a small picture of the source goes into the credentials.

    Raises:
      UserError: they are damaged, expired, or not such as C2PA allows.
    """

    def __init__(self, pair: KeyPair, thumbnail: bool = False):
        self._pair, self._thumbnail = pair, thumbnail
        self._algorithm = algorithm(pair)
        trial = io.BytesIO()
        Image.new("RGB", (1, 1)).save(trial, "PNG")
        self(trial.getvalue(), {})

    def __call__(
        self, content: bytes, text: dict[str, str], sources: Sequence[bytes] = ()
    ) -> bytes:
        """A PNG or JPEG with credentials.

        Args:
          content: of the file, without credentials of its own.
          text: what it says of itself, see `repose_jax.common.provenance.picture_text`.
          sources: the contents of the photos that it was painted from.

        Raises:
          UserError: the certificate does not sign, as one that has expired since.
        """
        import c2pa

        settings = OFFLINE | {"builder": {"thumbnail": {"enabled": False}}}
        try:
            signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(
                c2pa.C2paSigningAlg[self._algorithm], self._pair.certificate, self._pair.key, None))
            context = c2pa.Context(c2pa.Settings.from_dict(settings), signer)
            builder = c2pa.Builder(_manifest(text, len(sources)), context)
            for number, source in enumerate(sources):
                self._add(builder, number, source)
            signed = io.BytesIO()
            builder.sign(mime_type(content), io.BytesIO(content), signed)
        except c2pa.C2paError as error:
            raise UserError(self._pair.where, f"does not sign ({error})",
                            "give another --provenance.certificate, or renew the local one: repose "
                            "provenance init --renew") from None
        return signed.getvalue()

    def _add(self, builder, number: int, content: bytes) -> None:
        """Adds a source, with the credentials that it carries, be they whole or broken."""
        import c2pa

        facts: dict[str, Any] = {"title": "source photo", "relationship": "inputTo",
                                 "label": _label(number),
                                 "description": f"sha256 {hashlib.sha256(content).hexdigest()}"}
        if self._thumbnail:
            identifier = f"thumbnail-{number}.jpg"
            builder.add_resource(identifier, io.BytesIO(_small(content)))
            facts["thumbnail"] = {"format": "image/jpeg", "identifier": identifier}
        try:
            builder.add_ingredient(facts, mime_type(content), io.BytesIO(content))
        except c2pa.C2paError:  # a kind of file that C2PA has no words for carries no credentials
            builder.add_ingredient(facts, _UNKNOWN, io.BytesIO(content))


def _manifest(text: dict[str, str], sources: int) -> dict[str, Any]:
    software = {"name": "repose_jax", "version": repose_jax.__version__}
    created: dict[str, Any] = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE,
                               "softwareAgent": software}
    if sources:
        created["parameters"] = {"ingredientIds": [_label(number) for number in range(sources)]}
    return {"claim_generator_info": [software], "assertions": [
        {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
        {"label": ASSERTION, "data": {"comment": text.get("Comment", "")} | details(text)}]}


def _label(number: int) -> str:
    return f"source-{number}"


def _small(content: bytes) -> bytes:
    """A photo as a small JPEG."""
    small = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        found = ImageOps.exif_transpose(picture).convert("RGB")
    found.thumbnail((_THUMBNAIL, _THUMBNAIL))
    found.save(small, "JPEG", quality=80)
    return small.getvalue()
