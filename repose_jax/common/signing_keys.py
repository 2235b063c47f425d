"""The certificate that signs pictures: one made on this machine, or an organisation's own.

The local one is a root that signs one certificate and is then forgotten: its key is never written, so
that nobody can issue another in its name. A folder of the user's configuration keeps

    certificate.pem   the certificate, then its root
    key.pem           its private key, mode 0600
    roots.pem         every root that this folder ever had: what it signed before stays trusted
"""

from __future__ import annotations

import datetime
import importlib.util
import os
import pathlib
import shutil
import tempfile
from typing import Any, NamedTuple

from repose_jax.common.errors import UserError
from repose_jax.common.files import cannot_write, user_folder, write_content

INSTALL = "pip install 'repose_jax[provenance]'"
NAME = "repose_jax, certificate made on its user's machine"
_YEARS = 10
_LONGEST_NAME = 64  # of X.509
_CERTIFICATE, _KEY, _ROOTS = "certificate.pem", "key.pem", "roots.pem"


class KeyPair(NamedTuple):
    """What signs.

    Attributes:
      certificate: PEM of the certificate and those that signed it, the signing one first.
      key: PEM of its private key.
      where: what errors name.
    """

    certificate: bytes
    key: bytes
    where: pathlib.Path


def installed() -> bool:
    """Whether the packages of the extra `provenance` are here."""
    return all(importlib.util.find_spec(name) is not None for name in ("c2pa", "cryptography"))


def folder() -> pathlib.Path:
    """Where the local certificate lies; UserError where the user has no folders of their own."""
    return user_folder("XDG_CONFIG_HOME", ".config") / "provenance"


def local_key_pair(name: str = NAME) -> KeyPair:
    """The local certificate with its key; it is made where there is none.

    Raises:
      UserError: the folder cannot be read or written, or holds half of a pair.
    """
    place = folder()
    if not place.exists():
        _make(place, name)
    return read_key_pair(place / _CERTIFICATE, place / _KEY)


def renew(name: str = NAME) -> KeyPair:
    """A new local certificate; pictures that the old one signed stay trusted here.

    Raises:
      UserError: see `local_key_pair`.
    """
    place = folder()
    older = own_roots()
    if place.exists():
        # Under another name until the new one is there: a kill in between loses nothing.
        aside = pathlib.Path(tempfile.mkdtemp(prefix=".old-", dir=place.parent))
        os.rename(place, aside / place.name)
        _make(place, name, older)
        shutil.rmtree(aside)
    else:
        _make(place, name)
    return local_key_pair()


def own_roots() -> bytes:
    """PEM of the roots that were made on this machine; empty where there are none."""
    try:
        return (folder() / _ROOTS).read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise UserError(folder() / _ROOTS, f"cannot be read ({error.strerror})",
                        "give it back its mode, 0600") from None


def read_key_pair(certificate: pathlib.Path, key: pathlib.Path) -> KeyPair:
    """A pair of PEM files.

    Raises:
      UserError: one cannot be read, or is no PEM of its kind; nothing of the key is told.
    """
    found = []
    for path, word, what in ((certificate, b"-----BEGIN CERTIFICATE-----", "certificate"),
                             (key, b"PRIVATE KEY-----", "unencrypted private key")):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(path, f"cannot be read ({error.strerror})", f"give the PEM of a {what}, "
                            "or make a pair: repose provenance init") from None
        if word not in content or b"ENCRYPTED" in content:
            raise UserError(path, f"is no PEM of a {what}", f"give the PEM of a {what}")
        found.append(content)
    return KeyPair(found[0], found[1], certificate)


def algorithm(pair: KeyPair) -> str:
    """The signature algorithm of C2PA that suits a key, such as ES256.

    Raises:
      UserError: the key cannot be read, is of a kind that C2PA does not sign with, or is not the
        certificate's.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    hint = "give the key of the certificate: P-256, P-384, P-521, Ed25519, or RSA of 2048 bits or more"
    try:
        key = load_pem_private_key(pair.key, None)
        public: Any = x509.load_pem_x509_certificates(pair.certificate)[0].public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UserError(pair.where, "or its key is damaged", hint) from None
    if key.public_key() != public:
        raise UserError(pair.where, "is not the certificate of this key", hint)
    curves = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in curves:
        return curves[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ED25519"
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return "PS256"
    raise UserError(pair.where, "is of a kind that content credentials are not signed with", hint)


def _make(place: pathlib.Path, name: str, older_roots: bytes = b"") -> None:
    """Makes a certificate in a folder that is there whole or not at all."""
    if not 0 < len(name.strip()) <= _LONGEST_NAME or not name.isprintable():
        raise UserError("--name", "is empty, too long or not printable",
                        f"give 1 to {_LONGEST_NAME} letters")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = pathlib.Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))  # mode 0700
        try:
            certificate, root, key = _issue(name.strip())
            write_content(unfinished / _CERTIFICATE, certificate + root)
            write_content(unfinished / _ROOTS, older_roots + root)
            with os.fdopen(os.open(unfinished / _KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600),
                           "wb") as file:
                file.write(key)
                file.flush()
                os.fsync(file.fileno())
            if not place.exists():  # or another process was quicker, and its pair is as good
                os.rename(unfinished, place)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        if not place.exists():
            raise cannot_write(place, error) from None


def _issue(name: str) -> tuple[bytes, bytes, bytes]:
    """PEM of a certificate, of its root, and of the certificate's key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    now = datetime.datetime.now(datetime.UTC)

    def subject(word: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name),
                          x509.NameAttribute(NameOID.COMMON_NAME, f"{name[:_LONGEST_NAME - 5]}{word}")])

    def certificate(word: str, public, authority: bool) -> x509.Certificate:
        usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment",
                               "key_agreement", "encipher_only", "decipher_only"), False)
        usage |= {"digital_signature": not authority, "key_cert_sign": authority,
                  "crl_sign": authority}
        made = x509.CertificateBuilder(
            subject_name=subject(word), issuer_name=subject(" root"), public_key=public,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - datetime.timedelta(days=1),  # clocks differ
            not_valid_after=now + datetime.timedelta(days=365 * _YEARS))
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=authority, path_length=0 if authority else None), True),
            (x509.KeyUsage(**usage), True),
            (x509.SubjectKeyIdentifier.from_public_key(public), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), False)]
        if not authority:  # one of the purposes that C2PA accepts
            extensions.append((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False))
        for extension, critical in extensions:
            made = made.add_extension(extension, critical)
        return made.sign(root_key, hashes.SHA256())

    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    pem = serialization.Encoding.PEM
    return (certificate("", key.public_key(), False).public_bytes(pem),
            certificate(" root", root_key.public_key(), True).public_bytes(pem),
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
