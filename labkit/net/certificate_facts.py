"""What stands in a certificate, as values.

WHAT       `read_certificate(der)` -> `CertificateFacts`; below it the single questions that the checks ask.
RULES      ValueError for what is no certificate; whatever somebody else has put into one, there is an answer
STANDARDS  RFC 5280 §4.1, §4.2.1 (extensions)
READ NEXT  certificate_check.py, certificate_chain.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from labkit.net.tls_trust import load

MOST_NAMES = 100  # that are shown; all are compared
E = TypeVar("E", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What stands in a certificate. `key` is like "EC secp256r1, 256 bits"; `fingerprint` is SHA-256."""

    subject: str
    issuer: str
    common_name: str
    names: tuple[str, ...]
    addresses: tuple[str, ...]
    begin: datetime
    end: datetime
    key: str
    bits: int
    is_authority: bool
    purposes: tuple[str, ...]
    signature: str
    serial: str
    fingerprint: str

    @property
    def is_self_issued(self) -> bool:
        return self.subject == self.issuer


def read_certificate(der: bytes) -> CertificateFacts:
    """Raises ValueError for what is no certificate."""
    found = load(der)
    names, addresses = (each[:MOST_NAMES] for each in alternative_names(found))
    kind, bits = key_of(found)
    return CertificateFacts(
        subject=subject_name(found),
        issuer=issuer_name(found),
        common_name=common_name(found),
        names=names,
        addresses=addresses,
        begin=found.not_valid_before_utc,
        end=found.not_valid_after_utc,
        key=kind,
        bits=bits,
        is_authority=is_authority(found),
        purposes=purposes(found),
        signature=_signature(found),
        serial=f"{found.serial_number:x}",
        fingerprint=found.fingerprint(hashes.SHA256()).hex(),
    )


def extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    """None too where the extensions cannot be read: `_Way` refuses such a certificate."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except Exception:  # ExtensionNotFound, or one of many kinds of broken ones
        return None


def general_names(certificate: x509.Certificate) -> Sequence[x509.GeneralName]:
    found = extension(certificate, x509.SubjectAlternativeName)
    return () if found is None else tuple(found)


def alternative_names(certificate: x509.Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found = extension(certificate, x509.SubjectAlternativeName)
    if found is None:
        return (), ()
    names = found.get_values_for_type(x509.DNSName)
    addresses = found.get_values_for_type(x509.IPAddress)
    return tuple(names), tuple(str(each) for each in addresses)


def serves(certificate: x509.Certificate) -> bool:
    found = extension(certificate, x509.ExtendedKeyUsage)
    return found is None or ExtendedKeyUsageOID.SERVER_AUTH in found


def purposes(certificate: x509.Certificate) -> tuple[str, ...]:
    found = extension(certificate, x509.ExtendedKeyUsage)
    return () if found is None else tuple(getattr(each, "_name", each.dotted_string) for each in found)


def is_authority(certificate: x509.Certificate) -> bool:
    basic = extension(certificate, x509.BasicConstraints)
    return basic is not None and basic.ca


def key_fits(issuer: x509.Certificate, owned: x509.Certificate) -> bool:
    """Where both tell which key it is, it must be the same (RFC 5280 §4.2.1.1)."""
    wanted = extension(owned, x509.AuthorityKeyIdentifier)
    own = extension(issuer, x509.SubjectKeyIdentifier)
    if wanted is None or own is None or wanted.key_identifier is None:
        return True
    return wanted.key_identifier == own.digest


def key_of(certificate: x509.Certificate) -> tuple[str, int]:
    try:
        key = certificate.public_key()
    except Exception:  # a kind that this library does not know
        return "a key of an unknown kind", 0
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA, {key.key_size} bits", key.key_size
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}, {key.key_size} bits", key.key_size
    return type(key).__name__.strip("_").removesuffix("PublicKey"), 0


def _signature(certificate: x509.Certificate) -> str:
    return str(getattr(certificate.signature_algorithm_oid, "_name", "unknown"))


def common_name(certificate: x509.Certificate) -> str:
    try:
        found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return ""
    return str(found[0].value) if found else ""


def subject_name(certificate: x509.Certificate) -> str:
    try:
        return certificate.subject.rfc4514_string()
    except ValueError:
        return "(a name that cannot be read)"


def issuer_name(certificate: x509.Certificate) -> str:
    try:
        return certificate.issuer.rfc4514_string()
    except ValueError:
        return "(a name that cannot be read)"


def who(certificate: x509.Certificate) -> str:
    return subject_name(certificate) or "a certificate without a subject"
