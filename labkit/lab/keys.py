"""Pairs of DKIM keys: make one, publish its record, keep its private half.

WHAT       `make_pair()` makes an RSA key of 2048 bits, `make_pair("ed25519")` the other kind. `KeyPair.read(pem)` reads
           one that openssl made. `.private_pem` is what the signer keeps, `.record` what the DNS says.
           `.zone_line(selector)` is the line for the zone file: its strings have at most 255 octets each.
RULES      keys are random, so they are made here and not in a deciding room. A pair shows its public half only.
           1024 bits work, with a warning: RFC 8301 §3.2 asks signers for 2048 or more.
STANDARDS  RFC 6376 §3.6; RFC 8301 §3.2; RFC 8463; RFC 5958 (PKCS#8), RFC 1035 §3.3.14 and §5.1 (strings of TXT)
LIKE       openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048; openssl reads what is made here
READ NEXT  ../auth/dkim_sign.py
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from labkit.auth.dkim_key import ED25519, MAX_BITS, MIN_BITS, RSA
from labkit.auth.dkim_sign import SigningError, read_private_key
from labkit.mail.plainly import SaidPlainly

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

SHOULD_HAVE = 2048  # bits (RFC 8301 §3.2)
STRING = 255  # octets that one string of a TXT record can have (RFC 1035 §3.3)
_SELECTOR = re.compile(
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*"
)


class KeyMistake(SaidPlainly, ValueError):
    """Such a key cannot be made or read. The text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key and its public half."""

    private_key: RSAPrivateKey | Ed25519PrivateKey = field(repr=False)
    kind: str
    bits: int

    @classmethod
    def read(cls, pem: bytes | str) -> KeyPair:
        """A pair from its private key: PKCS#8 ("PRIVATE KEY") or PKCS#1 ("RSA PRIVATE KEY"). Raises KeyMistake."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

        try:
            key = read_private_key(pem)
        except SigningError as wrong:
            raise KeyMistake(str(wrong)) from None
        if isinstance(key, RSAPrivateKey):
            return cls(key, RSA, key.key_size)
        if isinstance(key, Ed25519PrivateKey):
            return cls(key, ED25519, 256)
        raise KeyMistake("DKIM knows RSA and Ed25519 keys; this is another kind")

    @property
    def private_pem(self) -> bytes:
        """The private key as PKCS#8 in PEM: keep it where only the signer reads it."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def public_pem(self) -> bytes:
        """The public key in PEM, as openssl writes it with -pubout."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return self.private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def record(self) -> str:
        """The text of the TXT record (RFC 6376 §3.6.1; RFC 8463 §4: an Ed25519 key stands there bare)."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        public = self.private_key.public_key()
        if self.kind == ED25519:
            octets = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        else:
            octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return f"v=DKIM1; k={self.kind}; p={b64encode(octets).decode()}"

    @property
    def warning(self) -> str:
        """What should be better about this key, or ""."""
        if self.kind == ED25519:
            return "many receivers do not check Ed25519 yet: sign with an RSA key too"
        if self.bits < MIN_BITS:
            return f"{self.bits} bits: receivers refuse signatures of such a key (RFC 8301 §3.2); make one of 2048"
        if self.bits < SHOULD_HAVE:
            return f"{self.bits} bits are the least that receivers take; make a key of 2048 (RFC 8301 §3.2)"
        return ""

    def zone_line(self, selector: str, ttl: int | None = None) -> str:
        """The line for the zone file of the domain: the name is relative, the text is cut into strings."""
        return zone_line(selector, self.record, ttl)


def make_pair(kind: str = RSA, bits: int = SHOULD_HAVE) -> KeyPair:
    """A new pair. Raises KeyMistake."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    if kind == ED25519:
        return KeyPair(Ed25519PrivateKey.generate(), ED25519, 256)
    if kind != RSA:
        raise KeyMistake(f"{kind!r} is no kind of DKIM key: there are 'rsa' and 'ed25519'")
    if not MIN_BITS <= bits <= MAX_BITS or bits % 8:
        raise KeyMistake(
            f"an RSA key has {MIN_BITS} to {MAX_BITS} bits, a multiple of 8; 2048 is what to choose"
        )
    return KeyPair(generate_private_key(65_537, bits), RSA, bits)


def zone_line(selector: str, record: str, ttl: int | None = None) -> str:
    """A key record as a line of a zone file. Raises KeyMistake."""
    if _SELECTOR.fullmatch(selector) is None or len(selector) > 190:
        raise KeyMistake(f"{selector!r} is no selector: letters, digits and hyphens, as in s2026")
    if not (record.isascii() and record.isprintable()):
        raise KeyMistake("a key record has printable ASCII characters only")
    pieces = [record[start : start + STRING] for start in range(0, len(record), STRING)] or [""]
    strings = " ".join('"' + re.sub(r'(["\\])', r"\\\1", piece) + '"' for piece in pieces)
    text = f"( {strings} )" if pieces[1:] else strings
    return f"{selector}._domainkey {'' if ttl is None else f'{ttl} '}IN TXT {text}"
