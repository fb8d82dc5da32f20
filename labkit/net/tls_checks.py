"""Look at a certificate and its key before anybody calls: what is wrong with them, and what to do about it.

WHAT       `faults(certificate, key)`: each with the file it is about, what is wrong, and a remedy; none if all is well.
DECIDES    files that are not there or hold something else; a key that belongs to another certificate; a certificate
           that is not valid at this moment of real time (OpenSSL at the other end looks at no lab clock); a key that
           everybody on this machine may read.
STANDARDS  RFC 5280 §4.1.2.5 (validity); RFC 9325 §5 (who has the key is the host)
READ NEXT  tls_contexts.py
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

LARGEST = 1024 * 1024  # octets of a file that is read


@dataclass(frozen=True, slots=True)
class Fault:
    """`is_about_key`: the key's setting is where to look, not the certificate's."""

    problem: str
    remedy: str
    is_about_key: bool = False


def faults(certificate: Path, key: Path | None, name: str, key_name: str) -> tuple[Fault, ...]:
    """Look at the two files; `name` and `key_name` are what people call them."""
    found: list[Fault] = []
    shown = _certificate(certificate, name, found)
    secret = _key(key or certificate, key_name or name, found, is_about_key=key is not None)
    if shown is not None:
        found += _validity(shown, name)
        if secret is not None and secret != _public(shown):
            found.append(
                Fault(
                    f"the key in {key_name or name} does not belong to the certificate in {name}",
                    "make the certificate for this key, or name the key that it was made for",
                    key is not None,
                )
            )
    return tuple(found)


def _certificate(path: Path, name: str, found: list[Fault]) -> x509.Certificate | None:
    """The first in the file: the host's own."""
    octets = _read(path, f"the certificate {name}", found, is_about_key=False)
    if octets is None:
        return None
    try:
        return x509.load_pem_x509_certificates(octets)[0]
    except ValueError:
        found.append(
            Fault(f"{name} holds no certificate", "a certificate is PEM: -----BEGIN CERTIFICATE-----")
        )
        return None


def _key(path: Path, name: str, found: list[Fault], *, is_about_key: bool) -> bytes | None:
    """The public half of the key in the file."""
    octets = _read(path, f"the key {name}", found, is_about_key=is_about_key) if is_about_key else None
    if not is_about_key:
        try:
            octets = path.read_bytes()[:LARGEST]
        except OSError:  # said of the certificate, which is the same file
            return None
    if octets is None:
        return None
    try:
        loaded = serialization.load_pem_private_key(octets, password=None)
    except (ValueError, TypeError):
        words = f"{name} holds no private key that can be read without a password"
        found.append(Fault(words, "name the key's file: tls_privatekey = /path", is_about_key))
        return None
    if path.stat().st_mode & stat.S_IROTH:
        words = f"the key {name} can be read by everybody on this machine"
        found.append(Fault(words, f"chmod 600 {name}", is_about_key))
    return loaded.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _public(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _read(path: Path, what: str, found: list[Fault], *, is_about_key: bool) -> bytes | None:
    try:
        with path.open("rb") as opened:
            return opened.read(LARGEST)
    except OSError as problem:
        words = f"{what} cannot be read: {problem.strerror}"
        found.append(Fault(words, "put the file there, or name another", is_about_key))
        return None


def _validity(certificate: x509.Certificate, name: str) -> list[Fault]:
    now = datetime.now(timezone.utc)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        return [
            Fault(
                f"the certificate {name} has expired: it was valid until {end:%Y-%m-%d %H:%M} UTC",
                "make a new one; real time counts, not the lab's",
            )
        ]
    if now < begin:
        return [
            Fault(
                f"the certificate {name} is not yet valid: it is from {begin:%Y-%m-%d %H:%M} UTC",
                "make one that is valid now; real time counts, not the lab's",
            )
        ]
    return []
