"""DANE for SMTP: does a certificate chain fit the TLSA records at _25._tcp.HOST?

WHAT       `read_tlsa("3 1 1 9F86…")` reads a record; `judge_chain(records, chain, names)` tries all that are usable;
           `record_for(certificate, …)` makes one, as the owner of a certificate publishes it.
DECIDES    DANE-EE(3): the server's own certificate or key is the one that is named; names and dates do not count.
           DANE-TA(2): an authority in the chain is the one that is named, each certificate is signed by the next up to
           it, dates and the name count; a server's own certificate is no authority. 0 and 1 are no use for SMTP. One
           record that fits is enough; records that are no use are passed over; if all are, TLS is still required, and
           nobody is checked.
WHO SIGNS  a TLSA record is worth what protects the DNS: without DNSSEC, whose signatures lead from the root to the
           record, an attacker forges the record with the rest. MTA-STS leans on the authorities of the web instead,
           and on a first contact that nobody has disturbed; it needs no DNSSEC.
STANDARDS  RFC 6698 §2.1, RFC 7671 §5, RFC 7672 §3.1
READ NEXT  mta_sts.py
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from labkit.auth.domain_names import domain_name
from labkit.auth.steps import Step

if TYPE_CHECKING:
    from cryptography import x509

USAGES = {0: "PKIX-TA", 1: "PKIX-EE", 2: "DANE-TA", 3: "DANE-EE"}
SELECTORS = {0: "the whole certificate", 1: "its public key"}
LENGTHS = {1: 32, 2: 64}  # octets of SHA-256 and SHA-512
LONGEST_CHAIN, MOST_RECORDS, LONGEST_DATA = 10, 100, 16 * 1024
OTHER_NAME = "the certificate is for another name"
_TLSA = re.compile(r"\s*(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})\s+([0-9A-Fa-f][0-9A-Fa-f\s]*)\Z")


class NotTlsa(ValueError):
    """A text that is no TLSA record."""


@dataclass(frozen=True, slots=True)
class Tlsa:
    """One record: usage, selector, matching type, and what is to be found."""

    usage: int
    selector: int
    matching: int
    data: bytes

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex().upper()}"

    @property
    def objection(self) -> str:
        """Why it is no use for SMTP, "" if it is of use (RFC 7672 §3.1)."""
        if self.usage not in (2, 3):
            return f"usage {self.usage} ({USAGES.get(self.usage, 'unknown')}) is not for SMTP"
        if self.selector not in SELECTORS:
            return f"selector {self.selector} is unknown"
        if self.matching not in (0, 1, 2):
            return f"matching type {self.matching} is unknown"
        if len(self.data) != LENGTHS.get(self.matching, len(self.data) or -1):
            return f"{len(self.data)} octets are no digest of matching type {self.matching}"
        return ""


@dataclass(frozen=True, slots=True)
class DaneResult:
    """`result`: verified, failed, or unusable (no record was of use: TLS is required, and nobody is checked).

    `objections`: what was wrong, a text for each usable record.
    """

    result: str
    matched: Tlsa | None
    steps: tuple[Step, ...]
    objections: tuple[str, ...] = ()


def read_tlsa(text: str) -> Tlsa:
    """A record as master files have it. Raises NotTlsa."""
    found = _TLSA.match(text[: 3 * LONGEST_DATA])
    if found is None:
        raise NotTlsa(f"{text[:40]!r} is not usage, selector, matching type and hexadecimal digits")
    numbers = [int(found[n]) for n in (1, 2, 3)]
    digits = "".join(found[4].split())
    if max(numbers) > 255 or len(digits) % 2 or len(digits) > 2 * LONGEST_DATA:
        raise NotTlsa(f"{text[:40]!r}: numbers up to 255, and an even count of digits")
    return Tlsa(numbers[0], numbers[1], numbers[2], bytes.fromhex(digits))


def record_for(certificate: bytes, usage: int = 3, selector: int = 1, matching: int = 1) -> Tlsa:
    """The record that names this certificate (DER). Raises NotTlsa for useless numbers, ValueError for no DER."""
    from cryptography import x509

    found = _selected(x509.load_der_x509_certificate(certificate), selector)
    record = Tlsa(usage, selector, matching, _digest(found, matching))
    if record.objection:
        raise NotTlsa(record.objection)
    return record


def judge_chain(
    records: Sequence[Tlsa], chain: Sequence[bytes], names: Sequence[str], now: datetime
) -> DaneResult:
    """Try each record on a chain as a server shows it (DER, its own first); `names`: those it may have."""
    from cryptography import x509

    steps: list[Step] = []
    try:
        shown = [x509.load_der_x509_certificate(each) for each in chain[:LONGEST_CHAIN]]
    except ValueError:
        return DaneResult("failed", None, (Step("A certificate cannot be read."),))
    objections: list[str] = []
    for record in records[:MOST_RECORDS]:
        if record.objection:
            steps.append(Step(f"Passed over: {record.objection}.", "RFC 7672 §3.1", data=str(record)[:200]))
            continue
        wrong = _objection(record, shown, names, now)
        words = f"{USAGES[record.usage]}({record.usage}), {SELECTORS[record.selector]}: {wrong or 'it fits'}."
        steps.append(Step(words, "RFC 7671 §5", data=str(record)[:200]))
        if not wrong:
            return DaneResult("verified", record, tuple(steps))
        objections.append(wrong)
    return DaneResult("failed" if objections else "unusable", None, tuple(steps), tuple(objections))


def _objection(record: Tlsa, shown: list[x509.Certificate], names: Sequence[str], now: datetime) -> str:
    """Why the chain does not fit a record, "" if it does."""
    if not shown:
        return "no certificate was shown"
    if record.usage == 3:
        return "" if _fits(record, shown[0]) else "the server's certificate is another one"
    return _below_authority(record, shown, now) or _named(shown[0], names)


def _below_authority(record: Tlsa, shown: list[x509.Certificate], now: datetime) -> str:
    """Walk from the server's certificate up to the authority that the record names."""
    for number, current in enumerate(shown):
        if not current.not_valid_before_utc <= now <= current.not_valid_after_utc:
            return "a certificate in the chain is not valid at this time"
        if number and not _is_authority(current):
            return "a certificate in the chain signs and is no authority's"
        if number and _fits(record, current):
            return ""
        above = shown[number + 1 : number + 2]
        if not above or not _is_signed_by(current, above[0]):
            return "the chain does not lead to the authority that is named"
    return "the chain does not lead to the authority that is named"


def _is_authority(certificate: x509.Certificate) -> bool:
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _named(certificate: x509.Certificate, names: Sequence[str]) -> str:
    """Is the certificate for one of the names? A star stands for the first label (RFC 7672 §3.2.3)."""
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        patterns = [each.lower() for each in found.get_values_for_type(x509.DNSName)]
    except (x509.ExtensionNotFound, ValueError):
        patterns = []
    for name in filter(None, map(domain_name, names)):
        if name in patterns or f"*.{name.partition('.')[2]}" in patterns:
            return ""
    return OTHER_NAME


def _fits(record: Tlsa, certificate: x509.Certificate) -> bool:
    try:
        return _digest(_selected(certificate, record.selector), record.matching) == record.data
    except ValueError:
        return False


def _selected(certificate: x509.Certificate, selector: int) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    if selector == 1:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return certificate.public_bytes(Encoding.DER)


def _digest(octets: bytes, matching: int) -> bytes:
    if matching == 1:
        return hashlib.sha256(octets).digest()
    return hashlib.sha512(octets).digest() if matching == 2 else octets
