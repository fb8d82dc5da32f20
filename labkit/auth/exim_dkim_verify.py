"""Verify a message's DKIM signatures with Exim's rules, for a host that has an exim.conf.

WHAT       `verify_as_exim(message, rules)` gives a Judged for each signature that counts, in Exim's order, and the
           lines that Exim's log has of it.
DECIDES    as Exim 4.96 does: which signatures count (dkim_verify_hashes, dkim_verify_keytypes), and in which order; a
           wrong body hash ends the matter before a key is asked for; keys that are too short fail.
LIKE EXIM  x= and t=s are not looked at, nor i= beside d=, nor whether From is signed: the administrator may do so
           (dkim_verify.py does what RFC 6376 says). A message with too many signatures, or too long a line, is not
           looked at, and the log says so
UNLIKE     an empty body in simple form is CR LF (RFC 6376 §3.4.3): Exim takes it for nothing
SAFE       19 signatures at the most, 512 fields, 64 KiB each; linear in the message; keys of 16384 bits at the most
STANDARDS  RFC 6376, RFC 8463
READ NEXT  exim_dkim_sign.py
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from labkit.auth.canonical import canonical_body, canonical_field
from labkit.auth.exim_dkim import KeyRecord, SignatureField, read_key, read_signature
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import TextOf

CRLF = b"\r\n"
MOST_SIGNATURES = 20  # with so many nothing is verified
MOST_FIELDS = 512
LONGEST_FIELD = 65_536
LONGEST_LINE = 16_384  # of the body, with its line end
LONGEST_RECORD = 65_536
LARGEST_RSA = 16_384  # bits
EXCESS_SIGNATURES, LONG_LINE = "EXCESS_SIGS", "LONG_LINE"
NONE, INVALID, FAIL, PASS = "none", "invalid", "fail", "pass"
# why a signature is no good
BODY, MESSAGE, ALGORITHM = "body", "message", "algorithm"
UNAVAILABLE, SYNTAX, IMPORT, TOO_SHORT = "unavailable", "syntax", "import", "too short"
TAG_MISSING, VERSION = "tag", "version"
BAD_SIGNATURE = "Public key signature verification has failed."
WRONG_TAG = "ASN1 parser: Error in TAG."
BAD_KEY = "ASN1 parser: Error in DER parsing."
INCOMPATIBLE = "The signature is incompatible with the public key."
NOT_VALID = "The request is invalid."
_FIELD_END = re.compile(rb"\r\n(?![ \t])")
_IS_SIGNATURE = re.compile(rb"^dkim-signature:", re.IGNORECASE | re.MULTILINE)
_SEQUENCE = b"\x30"
_LENGTH = rb"(?:[\x00-\x7f]|\x81.|\x82..|\x83...)"
_KEY_INFO = re.compile(rb"\x30" + _LENGTH + rb"\x30", re.DOTALL)  # RFC 5280 §4.1: SubjectPublicKeyInfo
_BARE_KEY = re.compile(rb"\x30" + _LENGTH + rb"\x02", re.DOTALL)
_LONG = re.compile(rb"^[^\n]{%d}" % (LONGEST_LINE - 1), re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says. `sizes` are the least numbers of bits, by type of key."""

    hashes: Sequence[str] = ("sha256", "sha512")
    key_types: Sequence[str] = ("ed25519", "rsa")
    sizes: tuple[tuple[str, int], ...] = (("rsa", 1024), ("ed25519", 250))
    stops_at_pass: bool = False  # dkim_verify_minimal


@dataclass(frozen=True, slots=True)
class Judged:
    """One signature: `status` is none, invalid, fail or pass; `problem` says why it is no good."""

    field: SignatureField
    status: str = NONE
    problem: str = ""
    key: KeyRecord | None = None
    bits: int = 0  # of the key


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of a message. `error`: nothing was looked at."""

    signatures: tuple[Judged, ...] = ()
    log: tuple[str, ...] = ()
    error: str = ""


def verify_as_exim(message: bytes, rules: Rules) -> Asking[Verified]:
    """Judge the signatures of a message as it was received (lines end in CR LF)."""
    header, separator, body = message.partition(CRLF * 2)
    if message.startswith(CRLF) or not _IS_SIGNATURE.search(header):
        return Verified()
    fields = [field[:LONGEST_FIELD] for field in _FIELD_END.split(header)[:MOST_FIELDS]]
    read = [read_signature(field) for field in fields if field[:15].lower() == b"dkim-signature:"]
    if len(read) >= MOST_SIGNATURES:
        return _not_looked_at(EXCESS_SIGNATURES)
    if _LONG.search(body):
        return _not_looked_at(LONG_LINE)
    judging = _Judging(fields, body if separator else CRLF, bool(separator), rules)
    judged: list[Judged] = []
    for field in _chosen([each for each in read if each is not None], rules):
        if judged and rules.stops_at_pass and judged[-1].status == PASS:
            judged += [Judged(field)]
            continue
        judged.append((yield from judging.judge(field)))
    if judging.words and not any(each.status == PASS for each in judged):
        judging.log.append(f"DKIM: validation error: {judging.words}")
    return Verified(tuple(judged), tuple(judging.log))


def _not_looked_at(error: str) -> Verified:
    log = (
        f"DKIM: validation error: {error}",
        f"DKIM: Error during validation, disabling signature verification: {error}",
    )
    return Verified((), log, error)


def _chosen(fields: Sequence[SignatureField], rules: Rules) -> Iterator[SignatureField]:
    """Those that count: by hash, then by type of key, in the order of preference."""
    by_hash = [each for name in dict.fromkeys(rules.hashes) for each in fields if each.hash == name]
    return (each for name in dict.fromkeys(rules.key_types) for each in by_hash if each.key_type == name)


class _Judging:
    """The signatures of one message, one after the other."""

    def __init__(self, fields: list[bytes], body: bytes, has_body: bool, rules: Rules) -> None:
        self._places: dict[bytes, list[bytes]] = {}
        for field in fields:
            name, colon, _ = field.partition(b":")
            if colon:
                self._places.setdefault(name.lower(), []).append(field)
        self._body, self._has_body, self._rules = body, has_body, rules
        self._hashes: dict[tuple[str, str, int], bytes] = {}
        self.log: list[str] = []
        self.words = ""  # the last thing that the library complained of

    def judge(self, field: SignatureField) -> Asking[Judged]:
        if field.body_hash != self._body_hash(field):
            return Judged(field, FAIL, BODY)
        if not (field.domain and field.selector and field.names and field.signature is not None):
            return Judged(field, INVALID, TAG_MISSING)
        if field.version != 1:
            return Judged(field, INVALID, VERSION if field.version else TAG_MISSING)
        record = yield from _record_at(f"{field.selector}._domainkey.{field.domain}")
        key = read_key(record) if record else None
        if key is None or key.services not in ("*", "email"):
            return self._without_key(field, SYNTAX if record else UNAVAILABLE)
        loaded = _Key.load(key.key, field.key_type)
        if isinstance(loaded, str):
            self.words = loaded
            return self._without_key(field, IMPORT)
        if key.hashes is not None and field.hash not in [each.strip() for each in key.hashes.split(":")]:
            return Judged(field, FAIL, ALGORITHM, key, loaded.bits)
        if not loaded.has_signed(self._signed_octets(field), field.signature, field.hash):
            self.words = loaded.complaint(field.key_type)
            return Judged(field, FAIL, MESSAGE, key, loaded.bits)
        self.words = ""
        if loaded.bits < dict(self._rules.sizes).get(field.key_type, 0):
            return Judged(field, FAIL, TOO_SHORT, key, loaded.bits)
        return Judged(field, PASS, "", key, loaded.bits)

    def _without_key(self, field: SignatureField, problem: str) -> Judged:
        self.log.append(f"DKIM: d={field.domain} s={field.selector} [failed key import]")
        return Judged(field, INVALID, problem)

    def _body_hash(self, field: SignatureField) -> bytes:
        key = field.hash, field.canon_body, field.body_length
        if key not in self._hashes:
            length = None if field.body_length < 0 else field.body_length
            octets = canonical_body(self._body, field.canon_body, length) if self._has_body else self._body
            self._hashes[key] = hashlib.new(field.hash, octets).digest()
        return self._hashes[key]

    def _signed_octets(self, field: SignatureField) -> bytes:
        """The fields that h= names, each name taking the lowest one that is left, and the signature's own."""
        left: dict[bytes, int] = {}
        octets: list[bytes] = []
        for name in (field.names or "").lower().encode("latin-1").split(b":"):
            places = self._places.get(name, ())
            count = left.get(name, len(places))
            if count:
                octets.append(canonical_field(places[count - 1], field.canon_header))
                left[name] = count - 1
        own = canonical_field(field.without_b, field.canon_header)
        return b"".join([*octets, own.removesuffix(CRLF)])


def _record_at(name: str) -> Asking[str]:
    """The first record that may be a key; "" if there is none."""
    answer = yield from ask(TextOf(name))
    for record in answer.records:
        if len(record) >= LONGEST_RECORD:
            return ""
        text: str = record
        if not text.startswith("v=") or text[:6].lower() == "v=dkim":
            return text
    return ""


@dataclass(frozen=True, slots=True)
class _Key:
    """A public key of the library that does the arithmetic."""

    key: object
    bits: int
    signs_hashes: bool = False  # a=ed25519-…

    @classmethod
    def load(cls, octets: bytes, key_type: str) -> _Key | str:
        """The key, or what the library says of it, in GnuTLS's words as far as they are known."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        if key_type == "ed25519":  # with more than 32 octets the last ones are the key
            try:
                return cls(ed25519.Ed25519PublicKey.from_public_bytes(octets[-32:]), 256, True)
            except ValueError:
                return NOT_VALID
        if octets[:1] != _SEQUENCE or not _KEY_INFO.match(
            octets
        ):  # RFC 8017 keys without their type are not taken
            return WRONG_TAG if octets[:1] != _SEQUENCE or _BARE_KEY.match(octets) else BAD_KEY
        try:
            key = load_der_public_key(octets)
        except (ValueError, UnsupportedAlgorithm):
            return BAD_KEY
        if isinstance(key, rsa.RSAPublicKey):
            return cls(key, key.key_size) if key.key_size <= LARGEST_RSA else BAD_KEY
        return cls(key, getattr(key, "key_size", 256))  # it is a key, but signs in another way

    def complaint(self, key_type: str) -> str:
        """What GnuTLS says of a signature that is not of this key."""
        from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

        if key_type == "ed25519" or isinstance(self.key, rsa.RSAPublicKey):
            return BAD_SIGNATURE
        return NOT_VALID if isinstance(self.key, ed25519.Ed25519PublicKey) else INCOMPATIBLE

    def has_signed(self, octets: bytes, signature: bytes, hash_name: str) -> bool:
        """Whether the signature is that of this key. Ed25519 signs the hash (RFC 8463 §3)."""
        from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

        named = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256(), "sha512": hashes.SHA512()}
        try:
            if isinstance(self.key, rsa.RSAPublicKey):
                proves = self.key.verify
                proves(signature, octets, padding.PKCS1v15(), named[hash_name])
            elif isinstance(self.key, ed25519.Ed25519PublicKey) and self.signs_hashes:
                shows = self.key.verify
                shows(signature, hashlib.new(hash_name, octets).digest())
            else:
                return False
        except (InvalidSignature, ValueError, UnsupportedAlgorithm, InternalError):
            return False
        return True
