"""The public key that a domain publishes for its signatures: find it, read its record, check a signature with it.

WHAT       `find_keys(domain, selector)` asks for the TXT records at selector._domainkey.domain;
           `parse_key_record(text)` reads one; `public_key(record)` is the key; `key.check(digest, signature)`
           says whether the signature holds.
RULES      a name without a record is a permanent error, an answer that did not come a temporary one (§6.1.2).
           Of several records each may be tried. An empty p= is a revoked key. Hashes, services and flags that
           are not known are ignored, as tags are. RSA keys have 1024 to 8192 bits, and an odd exponent < 2^32.
STANDARDS  RFC 6376 §3.6.1, §3.6.2, §6.1.2; RFC 8301 §3.2 (no key under 1024 bits); RFC 8463 §4 (Ed25519: 32 octets);
           RFC 8616 §4 (an internationalised name is looked up as its A-labels)
SAFE       the size of a key is checked before anything is computed with it
READ NEXT  dkim_signature.py
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from labkit.auth.tags import WHITE, TagSyntaxError, parse_tags, without_blanks
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import DnsOutcome, TextOf

MIN_BITS, MAX_BITS = 1024, 8192
MAX_EXPONENT = 1 << 32
MAX_RECORD = 65_535  # characters; a record cannot be longer
MAX_RECORDS = 20  # so many records of one name are read
RSA, ED25519 = "rsa", "ed25519"
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BLANKS = WHITE.encode()
_PADDING = (b"", b"", b"==", b"=")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


class KeyRecordError(ValueError):
    """The record, or the key in it, cannot be used. The text says why."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key record as it says of itself. `hashes` and `services` are None where it allows all; `flags` are t=."""

    text: str
    key_type: str
    public: bytes
    hashes: tuple[str, ...] | None = None
    services: tuple[str, ...] | None = None
    flags: tuple[str, ...] = ()
    notes: str = ""

    @property
    def is_revoked(self) -> bool:
        return not self.public

    @property
    def is_testing(self) -> bool:
        """t=y: the domain tries DKIM out. A failed signature then counts as none (RFC 6376 §3.6.1)."""
        return "y" in self.flags

    @property
    def is_strict(self) -> bool:
        """t=s: i= must name the very domain of d=, and no subdomain."""
        return "s" in self.flags

    @property
    def is_for_mail(self) -> bool:
        return self.services is None or bool({"*", "email"} & set(self.services))


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures are checked with: its type, its size in bits, its exponent (RSA)."""

    key_type: str
    bits: int
    exponent: int
    _holds: Callable[[bytes, bytes], bool]
    _recover: Callable[[bytes], bytes | None]

    def check(self, digest: bytes, signature: bytes) -> bool:
        """Whether `signature` was made by this key's owner over that SHA-256 digest. Never raises."""
        return self._holds(digest, signature)

    def recover(self, signature: bytes) -> bytes | None:
        """The digest that was signed, as an RSA signature tells it; None if it was not made with this key.

        Ed25519 tells no such thing: always None.
        """
        return self._recover(signature)


@dataclass(frozen=True, slots=True)
class FoundKeys:
    """What the DNS has at the name of a key: the records as text, or why there is none."""

    question: TextOf
    outcome: DnsOutcome
    texts: tuple[str, ...] = ()


def key_name(domain: str, selector: str) -> str:
    """Where the key stands: selector._domainkey.domain, in lower case. Raises KeyRecordError for no possible name."""
    if len(domain) + len(selector) > 253:
        raise KeyRecordError("the name of the key is too long for the DNS")
    return _key_name(domain, selector)


@lru_cache(maxsize=256)
def _key_name(domain: str, selector: str) -> str:
    name = f"{selector}._domainkey.{domain}".rstrip(".")
    if not name.isascii():
        name = _a_labels(name)
    if len(name) > 253 or not all(map(_LABEL.fullmatch, name.split("."))):
        raise KeyRecordError(f"{name[:80]!r} cannot be a name in the DNS")
    return name.lower()


def _a_labels(name: str) -> str:
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        raise KeyRecordError(f"{name[:80]!r} cannot be written in A-labels") from None


def find_keys(domain: str, selector: str) -> Asking[FoundKeys]:
    """Ask for the records of a key. Raises KeyRecordError if the name is impossible."""
    question = TextOf(key_name(domain, selector))
    answer = yield from ask(question)
    return FoundKeys(question, answer.outcome, answer.records[:MAX_RECORDS])


def parse_key_record(text: str) -> KeyRecord:
    """Read a key record. Raises KeyRecordError."""
    if len(text) > MAX_RECORD:
        raise KeyRecordError(f"the record is longer than {MAX_RECORD} characters")
    return _key_record(text)


@lru_cache(maxsize=64)
def _key_record(text: str) -> KeyRecord:
    try:
        tags = parse_tags(text)
    except TagSyntaxError as wrong:
        raise KeyRecordError(f"the key record is no list of tags: {wrong}") from None
    version = tags.get("v")
    if version is not None and (version != "DKIM1" or tags.pairs[0][0] != "v"):  # RFC 6376 §3.6.1
        raise KeyRecordError("v= of a key record must be DKIM1, and stand first")
    public = tags.get("p")
    if public is None:
        raise KeyRecordError("the key record has no p=")
    return KeyRecord(
        text,
        (tags.get("k") or RSA).lower(),
        _octets(public),
        _list(tags.get("h")),
        _list(tags.get("s")),
        _list(tags.get("t")) or (),
        tags.get("n") or "",
    )


def _list(value: str | None) -> tuple[str, ...] | None:
    return None if not value else tuple(item.lower() for item in without_blanks(value).split(":"))


def _octets(value: str) -> bytes:
    octets = decode_base64(value)
    if octets is None:
        raise KeyRecordError("p= of the key record is not base64")
    return octets


def decode_base64(value: str) -> bytes | None:
    """The octets, blanks between the characters ignored; None if this is not base64. `=` may be missing at the end."""
    octets = value.encode("ascii", "replace").translate(None, _BLANKS)
    text = octets.rstrip(b"=")
    size = len(text)
    if text.translate(None, _BASE64) or len(octets) - size > 2 or size % 4 == 1:
        return None
    return a2b_base64(text + _PADDING[size % 4])


def public_key(record: KeyRecord) -> PublicKey:
    """The key of a record. Raises KeyRecordError: revoked, unknown type, broken, or of a size that is not allowed."""
    if record.is_revoked:
        raise KeyRecordError("the key is revoked: its p= is empty")
    if record.key_type == RSA:
        return _rsa(record.public)
    if record.key_type == ED25519:
        return _ed25519(record.public)
    raise KeyRecordError(f"k={record.key_type[:40]} is no type of key that DKIM knows")


@lru_cache(maxsize=128)
def _rsa(octets: bytes) -> PublicKey:
    """SubjectPublicKeyInfo, as everybody publishes it, or a bare RSAPublicKey, as RFC 6376 §3.6.1 calls for."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    if len(octets) > MAX_BITS // 8 + 200:  # before the library sees it
        raise KeyRecordError(f"the RSA key is larger than {MAX_BITS} bits")
    try:
        key = load_der_public_key(octets)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyRecordError("p= of the key record is no RSA public key") from None
    if not isinstance(key, RSAPublicKey):
        raise KeyRecordError("p= of the key record is a key, but no RSA key")
    exponent = key.public_numbers().e
    if key.key_size < MIN_BITS:  # RFC 8301 §3.2
        raise KeyRecordError(
            f"the RSA key has {key.key_size} bits; fewer than {MIN_BITS} must not be accepted"
        )
    if key.key_size > MAX_BITS:
        raise KeyRecordError(f"the RSA key has {key.key_size} bits, more than {MAX_BITS}")
    if exponent >= MAX_EXPONENT or not exponent & 1 or exponent < 3:
        raise KeyRecordError("the RSA key's exponent is not an odd number from 3 to 2^32")
    padding, prehashed, sha256 = pkcs1()
    check = key.verify  # which asks nothing: it is cryptography's

    def holds(digest: bytes, signature: bytes) -> bool:
        try:
            check(signature, digest, padding, prehashed)
        except InvalidSignature:
            return False
        return True

    def recover(signature: bytes) -> bytes | None:
        try:
            return bytes(key.recover_data_from_signature(signature, padding, sha256))
        except InvalidSignature:
            return None

    return PublicKey(RSA, key.key_size, exponent, holds, recover)


@lru_cache(maxsize=128)
def _ed25519(octets: bytes) -> PublicKey:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if len(octets) != 32:  # RFC 8463 §4: no structure around it
        raise KeyRecordError(f"an Ed25519 key has 32 octets; p= of the key record has {len(octets)}")
    check = Ed25519PublicKey.from_public_bytes(octets).verify

    def holds(digest: bytes, signature: bytes) -> bool:
        try:
            check(signature, digest)
        except InvalidSignature:
            return False
        return True

    return PublicKey(ED25519, 256, 0, holds, lambda signature: None)


@lru_cache(maxsize=1)
def pkcs1() -> tuple[Any, Any, Any]:
    """RSASSA-PKCS1-v1_5 over a SHA-256 digest that is at hand (RFC 8017 §8.2)."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from cryptography.hazmat.primitives.hashes import SHA256

    return PKCS1v15(), Prehashed(SHA256()), SHA256()
