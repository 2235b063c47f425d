"""What a picture's content credentials claim, who signed them, and whether they are unbroken."""

from __future__ import annotations

import dataclasses
import enum
import io
import json
import os
import zlib
from typing import Any

import numpy as np
from PIL import Image

from repose_jax.common.content_credentials import ASSERTION, OFFLINE, mime_type
from repose_jax.common.errors import UserError
from repose_jax.common.picture_manifest import pixels_hash
from repose_jax.common.provenance import SOURCE_TYPE, text_of

_MOST_BYTES = 256 << 20
_DEEPEST = 100  # pictures of a chain that are told of


class Status(enum.Enum):
    """What became of a picture's credentials."""

    TRUSTED = "unbroken, and signed by a certificate that is trusted here"
    UNTRUSTED = "unbroken, but signed by a certificate that is not trusted here: anybody may have"
    BROKEN = "broken: the file was changed after it was signed"
    STRIPPED = "stripped: it is known as a generated picture, but its credentials are gone"
    NONE = "none: nothing in the file tells of its origin"


@dataclasses.dataclass(frozen=True)
class Claim:
    """What one picture of a chain says of itself.

    Attributes:
      signer: the organisation and the name on the certificate.
      generator: software and version.
      generated: whether it says that a trained model made it.
      details: model, hashes, seed, settings, of pictures of ours; see `picture_text`.
      source: what is known of the photo that it was painted from, in words.
      broken: what was wrong with its credentials already when the next picture was painted from it.
    """

    signer: str
    generator: str
    generated: bool
    details: dict[str, Any]
    source: str = ""
    broken: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class CredentialReport:
    """What is found in a picture.

    Attributes:
      status: see `Status`.
      chain: the claims, this picture's first, then those of what it was painted from.
      faults: codes of C2PA on what is broken.
      known: of a stripped one, how it is known.
    """

    status: Status
    chain: tuple[Claim, ...] = ()
    faults: tuple[str, ...] = ()
    known: str = ""

    def lines(self) -> list[str]:
        """The report in words."""
        told = [self.status.value + (f" ({self.known})" if self.known else "")]
        told += [f"  fault: {fault}" for fault in self.faults]
        for number, claim in enumerate(self.chain):
            told += ["  " + line for line in _words(claim, number, self.status is Status.BROKEN)]
        return told

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-able values."""
        return dataclasses.asdict(self) | {"status": self.status.name.lower()}


def read_credentials(path: str | os.PathLike[str], roots: bytes = b"",
                     listed: dict[str, dict[str, Any]] | None = None) -> CredentialReport:
    """Checks a picture.

    Args:
      path: of a PNG or JPEG, or another file that C2PA knows.
      roots: PEM of the certificates that are trusted.
      listed: lines of a `manifest.jsonl`, which know a picture by its pixels.

    Raises:
      UserError: the file cannot be read, or is no picture.
    """
    content = _read(path)
    import c2pa

    settings = OFFLINE | ({"trust": {"trust_anchors": roots.decode()}} if roots else {})
    kind = mime_type(content)
    if not kind.startswith("image/"):
        raise UserError(path, "is not a picture", "give a PNG or JPEG")
    try:
        reader = c2pa.Reader.try_create(
            kind, io.BytesIO(content), context=c2pa.Context(c2pa.Settings.from_dict(settings)))
    except c2pa.C2paError as error:  # they are there, and no longer to be read
        return CredentialReport(Status.BROKEN, faults=(" ".join(str(error).split()),))
    if reader is None:
        return _without(path, listed or {})
    store = json.loads(reader.json())
    found = _chain(store)
    states = {"Trusted": Status.TRUSTED, "Valid": Status.UNTRUSTED}
    status = states.get(reader.get_validation_state() or "", Status.BROKEN)
    faults = () if status is not Status.BROKEN else _failures(store.get("validation_results"))
    # What pads the credentials is under no hash of theirs; the sums of PNG are over all.
    if kind == "image/png" and (damaged := _damaged_chunk(content)) is not None:
        status, faults = Status.BROKEN, (*faults, f"chunk {damaged} of the file is damaged")
    return CredentialReport(status, found, faults)


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", "give a picture") from None
    if len(content) > _MOST_BYTES:
        raise UserError(path, f"is larger than {_MOST_BYTES >> 20} MB", "give a picture")
    return content


def _damaged_chunk(content: bytes) -> str | None:
    """The name of the first chunk of a PNG whose checksum is wrong, or that is cut off."""
    at, name = 8, b""
    while name != b"IEND":
        length, name = int.from_bytes(content[at:at + 4], "big"), content[at + 4:at + 8]
        end = at + 12 + length
        if end > len(content) or zlib.crc32(content[at + 4:end - 4]) != int.from_bytes(
                content[end - 4:end], "big"):
            return ascii(name.decode("latin-1"))
        at = end
    return None


def _without(path: str | os.PathLike[str], listed: dict[str, dict[str, Any]]) -> CredentialReport:
    """A picture without credentials: stripped where something else tells that it is generated."""
    text = text_of(path)
    if text.get("DigitalSourceType") == SOURCE_TYPE or text.get("repose:model"):
        return CredentialReport(Status.STRIPPED, known="by the text in the file, which is not signed")
    if listed:
        try:
            with Image.open(path) as picture:
                wanted = pixels_hash(np.asarray(picture.convert("RGB")))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            raise UserError(path, "is not a whole picture", "give another") from None
        for line in listed.values():
            if line.get("pixels_sha256") == wanted:
                return CredentialReport(Status.STRIPPED,
                                        known=f"by its pixels, which are those of {line['file']}")
    return CredentialReport(Status.NONE)


def _chain(store: dict[str, Any]) -> tuple[Claim, ...]:
    """The claims from the picture itself down to the photo."""
    manifests: dict[str, Any] = store.get("manifests", {})
    found: list[Claim] = []
    todo: list[tuple[str | None, dict[str, Any] | None]] = [(store.get("active_manifest"), None)]
    seen = set()
    while todo and len(found) < _DEEPEST:
        label, ingredient = todo.pop(0)
        if label is None or label not in manifests or label in seen:
            continue
        seen.add(label)
        manifest = manifests[label]
        sources = manifest.get("ingredients") or []
        found.append(_claim(manifest, sources, ingredient))
        todo += [(source.get("active_manifest"), source) for source in sources]
    return tuple(found)


def _claim(manifest: dict[str, Any], sources: list[dict[str, Any]],
           ingredient: dict[str, Any] | None) -> Claim:
    assertions = {entry["label"]: entry.get("data") or {}
                  for entry in manifest.get("assertions", [])}
    actions: list[dict[str, Any]] = next((data.get("actions", []) for label, data in assertions.items()
                    if label.startswith("c2pa.actions")), [])
    signature = manifest.get("signature_info") or {}
    signers = dict.fromkeys(filter(None, (signature.get("issuer"), signature.get("common_name"))))
    generator = (manifest.get("claim_generator_info") or [{}])[0]
    words = []
    for source in sources:
        own = "with credentials of its own" if source.get("active_manifest") else (
            "without credentials")
        words.append(f"{source.get('title', 'a file')} {own}, {source.get('description', '')}")
    earlier = _failures(ingredient.get("validation_results")) if ingredient else ()
    return Claim(
        signer=", ".join(signers),
        generator=" ".join(filter(None, (generator.get("name"), generator.get("version")))),
        generated=any(action.get("digitalSourceType") == SOURCE_TYPE for action in actions),
        details=assertions.get(ASSERTION, {}), source="; ".join(words), broken=earlier)


def _failures(results: dict[str, Any] | None) -> tuple[str, ...]:
    """Codes of what failed, but for trust, which depends on who reads."""
    results = results or {}
    parts = [results.get("activeManifest") or {}] + [
        delta.get("validationDeltas") or {} for delta in results.get("ingredientDeltas") or []]
    return tuple(dict.fromkeys(
        f"{entry['code']} ({entry.get('explanation', '')})" for part in parts
        for entry in part.get("failure", []) if entry["code"] != "signingCredential.untrusted"))


def _words(claim: Claim, number: int, doubted: bool) -> list[str]:
    said = claim.details
    made = "generated by a trained model" if claim.generated else "not said to be generated"
    head = "claimed, and no longer to be relied on: " if doubted and not number else ""
    model = f", model {said['model']} (sha256 {str(said.get('model-sha256', ''))[:12]}...)" if (
        "model" in said) else ""
    seed = f", seed {said['seed']}" if "seed" in said else ""
    told = [f"{number + 1}. {head}{made} by {claim.generator or 'unnamed software'}{model}{seed}",
            f"   signed by {claim.signer or 'nobody who is named'}"]
    if claim.source:
        told.append(f"   painted from {claim.source}")
    if said.get("consent"):
        told.append(f"   consent, as its maker notes it: {said['consent']}")
    if claim.broken:
        told.append(f"   already broken when it was painted from: {', '.join(claim.broken)}")
    return told

