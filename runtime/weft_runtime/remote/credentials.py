"""Certificate, key and token of a server, as files in one folder."""

from __future__ import annotations

import datetime
import hmac
import ipaddress
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DeviceError
from .errors import RemoteError

CERTIFICATE, KEY, TOKEN = "certificate.pem", "key.pem", "token"
"""Names of the files; clients need the first and the last."""

AUTHORIZATION = "authorization"
"""The metadata that a token travels in."""

DAYS = 825
"""That a certificate is valid."""

MIN_TOKEN = 16
"""Characters of a token, at least."""


@dataclass(frozen=True)
class Credentials:
    """What one side needs; a client has no key."""

    certificate: bytes
    token: str = field(repr=False)
    key: bytes = field(default=b"", repr=False)


def load_credentials(folder: Path, *, key: bool) -> Credentials:
    """Read a folder's files, the key for a server only.

    Raises
    ------
    RemoteError
        If one is missing, or the token is too short to be one.
    """
    token = _read(folder / TOKEN).decode("utf-8", "replace").strip()
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable():
        raise RemoteError(
            f"token in {folder / TOKEN} is not at least {MIN_TOKEN} printable ASCII characters; "
            "make one with weft serve --make-credentials FOLDER"
        )
    return Credentials(_read(folder / CERTIFICATE), token, _read(folder / KEY) if key else b"")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RemoteError(
            f"credentials file {path} cannot be read: {error.strerror or error}; "
            "make the files with weft serve --make-credentials FOLDER, and give clients all but the key"
        ) from None


def has_token(metadata: Iterable[tuple[str, Any]], token: str) -> bool:
    """Whether a call's metadata carry the token; takes as long whatever they carry."""
    given = next((value for key, value in metadata if key == AUTHORIZATION), "")
    return hmac.compare_digest(str(given).encode(), f"Bearer {token}".encode())


def make_credentials(folder: Path, names: Sequence[str]) -> list[Path]:
    """Write a self-signed certificate for a server's names and addresses, its key, and a random token.

    Parameters
    ----------
    folder : Path
        Made if it is not there; files that are there are not touched.
    names : sequence of str
        Host names and addresses by which clients will call the server.

    Raises
    ------
    RemoteError
        If a file is there already or cannot be written, or a name is none.
    DeviceError
        If the ``cryptography`` package is missing.
    """
    paths = [folder / name for name in (CERTIFICATE, KEY, TOKEN)]
    if there := [path for path in paths if path.exists()]:
        raise RemoteError(f"credentials file {there[0]} exists already; delete the old ones or choose another folder")
    certificate, key = _self_signed(names)
    token = secrets.token_urlsafe(32).encode() + b"\n"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, data, mode in zip(paths, (certificate, key, token), (0o644, 0o600, 0o600), strict=True):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(data)
    except OSError as error:
        raise RemoteError(
            f"credentials cannot be written to {folder}: {error.strerror or error}; choose another folder"
        ) from None
    return paths


def _self_signed(names: Sequence[str]) -> tuple[bytes, bytes]:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError:
        raise DeviceError(
            "making a certificate needs the Python package 'cryptography', which is not installed; "
            "run: pip install 'weft[remote]'"
        ) from None
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "weft device server")])
    now = datetime.datetime.now(datetime.timezone.utc)
    try:
        alternatives = [_alternative(x509, name) for name in dict.fromkeys([*names, "localhost", "127.0.0.1", "::1"])]
    except ValueError:
        raise RemoteError(f"names {', '.join(names)}: not all are host names or addresses; write board.lan") from None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # boards without a clock of their own start in the past
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem), private


def _alternative(x509: Any, name: str) -> Any:
    """A subject alternative name: an address or a host name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
