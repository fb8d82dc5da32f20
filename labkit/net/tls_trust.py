"""Look at certificates that nobody has to believe: tls_try_verify_hosts wants to know, and goes on whatever it hears.

WHAT       `Trust(pem).judge(chain, name)` says what is wrong with what a server has shown, "" if nothing is.
DECIDES    each certificate is issued by the next, the last by an authority we trust; all are valid at this moment of
           real time; who signs is an authority; the name is the certificate's. Where a certificate must be believed,
           OpenSSL itself decides in the handshake: this is for those that only should.
STANDARDS  RFC 5280 §6.1 (path validation, its main steps), RFC 9525 §6.3 (names)
LIKE EXIM  where there is no alternative name the common name is taken, as Exim's TLS libraries and OpenSSL do; RFC 9525
           §2 forbids it, and certificate_check.py, which students see, goes by the RFC
READ NEXT  tls.py
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timezone

from cryptography import x509
from cryptography.exceptions import InvalidSignature

LONGEST_CHAIN = 10


class Trust:
    """The authorities in PEM text. Raises ValueError if it holds no certificate."""

    def __init__(self, pem: bytes) -> None:
        self.authorities = tuple(x509.load_pem_x509_certificates(pem))

    def judge(self, chain: Sequence[bytes], names: Sequence[str] = ()) -> str:
        """What is wrong with a chain of certificates (DER, its owner's first); one of `names` must be the owner's."""
        try:
            shown = [load(each) for each in chain[:LONGEST_CHAIN]]
        except ValueError:
            return "a certificate cannot be read"
        if not shown:
            return "no certificate was shown"
        return self._path(shown) or _name(shown[0], names)

    def _path(self, shown: list[x509.Certificate]) -> str:
        """Walk from the owner's certificate to an authority of ours."""
        current, others = shown[0], shown[1:]
        for _ in range(LONGEST_CHAIN):
            if wrong := _dates(current):
                return wrong
            if current in self.authorities:
                return ""
            for authority in self.authorities:
                if _issued(authority, current):
                    return _dates(authority)
            issuer = next((each for each in others if _issued(each, current)), None)
            if issuer is None:
                return "unable to get local issuer certificate"
            others = [each for each in others if each is not issuer]
            current = issuer
        return "certificate chain too long"


def load(der: bytes) -> x509.Certificate:
    """A certificate all of which can be read. Raises ValueError, now and not when somebody looks at a part of it."""
    try:
        found = x509.load_der_x509_certificate(der)
        parts = (found.subject, found.issuer, found.extensions, found.not_valid_before_utc)
        found.public_key()
    except Exception as problem:  # each part that is broken has an error of its own kind
        raise ValueError(f"a certificate cannot be read: {problem}") from None
    assert len(parts) == 4
    return found


def _issued(issuer: x509.Certificate, owned: x509.Certificate) -> bool:
    if issuer.subject != owned.issuer:  # nearly all of the authorities: there may be hundreds
        return False
    try:
        basic = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        owned.verify_directly_issued_by(issuer)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature):
        return False
    return basic.ca


def _dates(certificate: x509.Certificate) -> str:
    now = datetime.now(timezone.utc)
    if now < certificate.not_valid_before_utc:
        return "certificate is not yet valid"
    return "certificate has expired" if now > certificate.not_valid_after_utc else ""


def _name(certificate: x509.Certificate, names: Sequence[str]) -> str:
    """Whether the certificate is for one of these names; without names everybody's will do."""
    if not names or any(is_for(certificate, name) for name in names):
        return ""
    return f"certificate name mismatch: it is not for {' or '.join(names)}"


def is_for(certificate: x509.Certificate, name: str) -> bool:
    """Whether the certificate is for this host: by its alternative names, else by its common name."""
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        common = certificate.subject.get_attributes_for_oid(x509.oid.NameOID.COMMON_NAME)
        return any(_matches(str(each.value), name) for each in common)
    if any(_matches(each, name) for each in alternative.get_values_for_type(x509.DNSName)):
        return True
    try:
        return ipaddress.ip_address(name) in alternative.get_values_for_type(x509.IPAddress)
    except ValueError:
        return False


def _matches(pattern: str, name: str) -> bool:
    """RFC 9525 §6.3: a star stands for the whole first label, and for no more."""
    pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
    if pattern.startswith("*."):
        return name.partition(".")[2] == pattern[2:] and "." in pattern[2:]
    return pattern == name
