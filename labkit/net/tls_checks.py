"""Look at a certificate and its key before anybody calls: what is wrong with them, and what to do about it.

WHAT       `faults(certificate, key)`: each with the file it is about, what is wrong, and a remedy; none if all is well.
           `name_doubt`, `chain_doubts`: what is allowed and hardly meant.
DECIDES    files that are not there or hold something else; a key that belongs to another certificate, or to one that is
           not the first in the file; an encrypted or a weak key; a certificate that is not valid at this moment of real
           time (OpenSSL at the other end looks at no lab clock); a key that everybody on this machine may read. A
           group may read it: Debian's Exim is in the group that has the key.
LIKE EXIM  Exim starts with such files; the first client hears "454 TLS currently unavailable", and the log says why.
           What is expired or for another name it shows to everybody, and clients that check it go away.
STANDARDS  RFC 5280 §4.1.2.5 (validity); RFC 9325 §4.5 (keys of 2048 bits at least)
READ NEXT  tls_contexts.py
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from labkit.net.tls_trust import is_for

MOST_CERTIFICATES = 20
LEAST_BITS = 2048  # of an RSA key
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
    if shown:
        if secret is not None and secret != _public(shown[0]):
            found.append(_of_another(shown, secret, name, key_name or name, is_about_key=key is not None))
        found += _validity(shown[0], name)
        found += _strength(shown[0], name)
    return tuple(found)


def _of_another(
    shown: list[x509.Certificate], secret: bytes, name: str, key_name: str, *, is_about_key: bool
) -> Fault:
    if any(_public(each) == secret for each in shown[1:]):
        words = f"the chain in {name} is in the wrong order: the certificate of the key in {key_name} must be the first"
        return Fault(
            words, "first the host's own certificate, then who signed it, and so on (cat leaf.pem chain.pem)"
        )
    return Fault(
        f"the key in {key_name} does not belong to the certificate in {name}",
        "make the certificate for this key, or name the key that it was made for",
        is_about_key,
    )


def those_for(
    files: Sequence[tuple[Path, Path | None]], host_name: str
) -> Sequence[tuple[Path, Path | None]]:
    """Of several certificates with their keys, those for that very name (GnuTLS: no star counts); else all."""
    found = []
    for certificate, key in files:
        try:
            shown = x509.load_pem_x509_certificates(certificate.read_bytes()[:LARGEST])[0]
        except (OSError, ValueError):  # found out when it is loaded
            continue
        if host_name.lower() in map(str.lower, _names(shown)):
            found.append((certificate, key))
    return found or files


def name_doubt(path: Path, name: str, host_name: str) -> list[Fault]:
    """A certificate for other names than the host's. Raises OSError, ValueError."""
    shown = x509.load_pem_x509_certificates(path.read_bytes())[0]
    names = _names(shown)
    if is_for(shown, host_name) and names:
        return []
    if not names:
        words = (
            f"the certificate {name} has no subjectAltName: clients that go by RFC 9525 accept it for none"
        )
        remedy = f"make one with DNS:{host_name}; RFC 9525 §2 forbids to go by the common name, as some (Exim 4.96) do"
        return [Fault(words, remedy)]
    words = f"the certificate {name} is for {', '.join(names[:5])}, and this host is {host_name}"
    return [Fault(words, f"make one for {host_name}, or for the name that MX records and clients use")]


def chain_doubts(path: Path, name: str, *, thorough: bool) -> list[Fault]:
    """A chain with a gap. Raises OSError, ValueError."""
    shown = x509.load_pem_x509_certificates(path.read_bytes())[:MOST_CERTIFICATES]
    for number, (owned, issuer) in enumerate(pairwise(shown), 1):
        if owned.issuer != issuer.subject:
            words = f"in {name}, certificate {number + 1} has not signed certificate {number}"
            return [Fault(words, "each certificate is followed by that of who signed it")]
    last = shown[-1]
    if thorough and len(shown) == 1 and last.issuer != last.subject:
        words = f"{name} has no certificate of who signed it: {last.issuer.rfc4514_string()}"
        return [
            Fault(
                words, "right if that is a root that clients know; an intermediate must be in the file, too"
            )
        ]
    return []


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return found.get_values_for_type(x509.DNSName)


def _strength(certificate: x509.Certificate, name: str) -> list[Fault]:
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size >= LEAST_BITS:
        return []
    words = f"the key of the certificate {name} is weak: RSA with {key.key_size} bits"
    return [Fault(words, f"openssl req -newkey rsa:{LEAST_BITS} …, or an EC key; many clients refuse less")]


def _certificate(path: Path, name: str, found: list[Fault]) -> list[x509.Certificate]:
    """Those in the file: the first is the host's own."""
    octets = _read(path, f"the certificate {name}", found, is_about_key=False)
    if octets is None:
        return []
    try:
        return x509.load_pem_x509_certificates(octets)
    except ValueError:
        what = ", but a private key" if b"PRIVATE KEY-----" in octets else ""
        remedy = "are tls_certificate and tls_privatekey exchanged?" if what else "a certificate is PEM:"
        remedy += "" if what else " -----BEGIN CERTIFICATE-----"
        found.append(Fault(f"{name} holds no certificate{what}", remedy))
        return []


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
    except TypeError:
        words = f"the key {name} is encrypted, and a server has nobody to type the password"
        found.append(Fault(words, f"openssl pkey -in {name} -out new.key; chmod 600 new.key", is_about_key))
        return None
    except ValueError:
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
