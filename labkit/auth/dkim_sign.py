"""Sign a message with DKIM: the field to put on top of it.

WHAT       `Signer(domain, selector, key)` has loaded its key; `.sign(message, now)` gives the DKIM-Signature field, its
           line end included. `sign(message, …)` does both once. `sign_dual` puts several signatures on top.
RULES      every field that is named and there is signed, each as often as it comes. A name in `oversign` is put into h=
           once more than it comes, so that nobody can add such a field. From: is always signed; a message without
           one is refused. What stands in the field comes from no message: nobody can write a line of his own into it.
REFUSES    a key under 1024 bits (RFC 8301 §3.2), a message with bare line ends or a broken header (RFC 6376 §5.3),
           x= that is not later than t=, i= outside d=. SigningError says so in plain words.
STANDARDS  RFC 6376 §3.5, §5; RFC 8301; RFC 8463
READ NEXT  what_changed.py
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, TypeAlias

from labkit.auth.canonical import Cut, canonical_body, cut
from labkit.auth.dkim_key import ED25519, MAX_BITS, MIN_BITS, RSA, KeyRecordError, key_name, pkcs1
from labkit.auth.dkim_signature import SignatureError, canonicalization, header_input
from labkit.mail.message import is_canonical
from labkit.mail.plainly import SaidPlainly

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    PrivateKey: TypeAlias = bytes | str | RSAPrivateKey | Ed25519PrivateKey

# What carries meaning to a reader or a program (RFC 6376 §5.4.1), and the fields of MIME.
FIELDS = (
    *("from", "sender", "reply-to", "subject", "date", "message-id", "to", "cc", "in-reply-to", "references"),
    *("mime-version", "content-type", "content-transfer-encoding"),
    *("resent-date", "resent-from", "resent-to", "resent-cc"),
    *("list-id", "list-help", "list-unsubscribe", "list-unsubscribe-post", "list-subscribe", "list-post"),
    *("list-owner", "list-archive"),
)
OVERSIGN = ("from",)  # RFC 6376 §8.15: the field that readers see must not get a twin
WIDTH = 72  # octets in a line of the field, where it can be folded
_FIELD_NAME = re.compile(r"[!-9<-~]+")  # ";" would end h=
_PLAIN = re.compile(r"[!-:<>-~]")  # of DKIM's quoted-printable (RFC 6376 §2.11)


class SigningError(SaidPlainly, ValueError):
    """This cannot be signed. The text says why, and what to do."""


class Signer:
    """Signs for one domain with one key. `now` and `expires_after` are seconds."""

    def __init__(
        self,
        domain: str,
        selector: str,
        key: PrivateKey,
        *,
        algorithm: str | None = None,
        canonicalization: str = "relaxed/relaxed",
        fields: Iterable[str] | None = None,
        oversign: Iterable[str] = OVERSIGN,
        identity: str | None = None,
        body_length: int | Literal["all"] | None = None,
        expires_after: float | None = None,
    ) -> None:
        self.domain, self.selector = names_of_the_dns(domain, selector)
        key_type, self.key_bits, self._make = load_key(key)
        self.algorithm = f"{key_type}-sha256"
        if algorithm is not None and algorithm != self.algorithm:
            raise SigningError(f"this key signs by {self.algorithm}, not by {algorithm!r}")
        self._header_form, self._body_form = _forms(canonicalization)
        self._fields = _field_names(FIELDS if fields is None else fields)
        self.oversign = frozenset(_field_names(oversign))
        if "from" not in self._fields:  # RFC 6376 §5.4
            raise SigningError("From: must be among the signed fields")
        self._body_length = _length(body_length)
        if expires_after is not None and not expires_after >= 1:
            raise SigningError("a signature must be valid for a second at least (expires_after)")
        self._expires_after = expires_after
        self._head = _head(self)
        self._tail = _identity_tag(identity, self.domain)
        self._names_before = lru_cache(maxsize=64)(self._names)  # most messages look like one of the last few

    def sign(self, message: bytes, now: float | None) -> bytes:
        """The DKIM-Signature field for `message`, to be put on top of it. Raises SigningError."""
        return self._signed(message, now, None)

    def sign_until(self, message: bytes, now: float | None, expires: float) -> bytes:
        """The same with an instant (x=) at which the signature expires."""
        return self._signed(message, now, expires)

    def _signed(self, message: bytes, now: float | None, expires: float | None) -> bytes:
        parts = signable_parts(message)
        body = canonical_body(parts.body, self._body_form)
        if now is not None and expires is None and self._expires_after is not None:
            expires = now + self._expires_after
        length = self._length_for(len(body))
        digest = sha256(body if length is None else memoryview(body)[:length]).digest()
        tags = [*self._tail, *_times(now, expires)]
        if length is not None:
            tags.append(f"l={length}")
        names, listed = (self._names_before if len(parts.names) <= 100 else self._names)(parts.names)
        digest_tag = f"bh={b2a_base64(digest, newline=False).decode()};"
        field = "\r\n\t".join([self._head, *folded(tags, "; ", ";"), listed, digest_tag, "b="]).encode(
            "ascii"
        )
        data = header_input(parts, names, self._header_form, field)
        value = b2a_base64(self._make(sha256(data).digest()), newline=False)
        return b"".join((field, b"\r\n\t".join(slices(value)), b"\r\n"))

    def _names(self, present: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
        """What h= names, and the tag: each name as often as it comes, and once more if it is oversigned."""
        if "from" not in present:
            raise SigningError("the message has no From: field, and DKIM must sign it; write one first")
        names: list[str] = []
        for name in self._fields:
            names += [name] * (present.count(name) + (name in self.oversign))
        names += sorted(self.oversign.difference(self._fields))
        return tuple(names), "\r\n\t".join(folded([f"h={names[0]}", *names[1:]], ":", ":", ";"))

    def _length_for(self, size: int) -> int | None:
        if self._body_length is None or self._body_length == "all":
            return None if self._body_length is None else size
        if self._body_length > size:
            raise SigningError(f"l={self._body_length} is more than the {size} octets of the canonical body")
        return self._body_length


def sign(
    message: bytes,
    *,
    domain: str,
    selector: str,
    key: PrivateKey,
    algorithm: str | None = None,
    canonicalization: str = "relaxed/relaxed",
    fields: Iterable[str] | None = None,
    oversign: Iterable[str] = OVERSIGN,
    identity: str | None = None,
    body_length: int | Literal["all"] | None = None,
    now: float | None = None,
    expires: float | None = None,
) -> bytes:
    """The DKIM-Signature field for one message. Without `algorithm` the key decides. Raises SigningError."""
    signer = Signer(
        domain,
        selector,
        key,
        algorithm=algorithm,
        canonicalization=canonicalization,
        fields=fields,
        oversign=oversign,
        identity=identity,
        body_length=body_length,
    )
    return signer.sign(message, now) if expires is None else signer.sign_until(message, now, expires)


def sign_dual(message: bytes, signers: Sequence[Signer], now: float | None) -> bytes:
    """Several signatures, the first on top, as a domain does that has an RSA and an Ed25519 key (RFC 8463 §3)."""
    return b"".join(signer.sign(message, now) for signer in signers)


def names_of_the_dns(domain: str, selector: str) -> tuple[str, str]:
    try:
        name = key_name(domain, selector)
    except KeyRecordError:
        raise SigningError(f"{selector!r} and {domain!r} make no name in the DNS for a key") from None
    found_selector, _, found_domain = name.partition("._domainkey.")
    if not found_selector or not found_domain:
        raise SigningError("a signature needs a selector and a domain")
    return found_domain, found_selector


def _forms(value: str) -> tuple[str, str]:
    try:
        return canonicalization(value)
    except SignatureError as wrong:
        raise SigningError(str(wrong)) from None


def _field_names(names: Iterable[str]) -> tuple[str, ...]:
    listed = tuple(
        dict.fromkeys(name.strip().lower() for name in ([names] if isinstance(names, str) else names))
    )
    for name in listed:
        if _FIELD_NAME.fullmatch(name) is None:
            raise SigningError(f"{name!r} is no name of a header field")
    return listed


def _length(value: int | Literal["all"] | None) -> int | Literal["all"] | None:
    if value is None or value == "all":
        return value
    if not isinstance(value, int) or value < 0:
        raise SigningError(f"body_length is a number of octets, 'all' or None, not {value!r}")
    return int(value)


def _identity_tag(identity: str | None, domain: str) -> list[str]:
    if identity is None:
        return []
    host = identity.rpartition("@")[2].lower()
    if "@" not in identity or not f".{host}".endswith(f".{domain}"):
        raise SigningError(f"i={identity!r} must end in @{domain} or in a name below it")
    quoted = "".join(
        char
        if _PLAIN.fullmatch(char)
        else "".join(f"={octet:02X}" for octet in char.encode("utf-8", "replace"))
        for char in identity
    )
    return [f"i={quoted}"]


def _head(signer: Signer) -> str:
    forms = f"c={signer._header_form}/{signer._body_form}"
    first = f"DKIM-Signature: v=1; a={signer.algorithm}; {forms};"
    return "\r\n\t".join([first, *folded([f"d={signer.domain}", f"s={signer.selector}"], "; ", ";")])


def _times(now: float | None, expires: float | None) -> list[str]:
    for name, value in (("now", now), ("expires", expires)):
        if value is not None and not 0 <= value < 10**12:
            raise SigningError(f"{name} is a number of seconds since 1970, not {value!r}")
    if now is not None and expires is not None and int(expires) <= int(now):  # RFC 6376 §3.5
        raise SigningError("a signature must expire (x=) later than it was made (t=)")
    tags = [] if now is None else [f"t={int(now)}"]
    return tags if expires is None else [*tags, f"x={int(expires)}"]


def folded(pieces: list[str], between: str, at_fold: str, at_end: str | None = None) -> list[str]:
    """The pieces in as few lines as fit, `between` them, `at_fold` where a line ends, `at_end` after the last."""
    if not pieces:
        return []
    lines, line = [], pieces[0]
    for piece in pieces[1:]:
        if len(line) + len(between) + len(piece) > WIDTH:
            lines.append(line + at_fold)
            line = piece
        else:
            line += between + piece
    return [*lines, line + (at_fold if at_end is None else at_end)]


def slices(value: bytes) -> list[bytes]:
    return [value[start : start + WIDTH] for start in range(0, len(value), WIDTH)]


def signable_parts(message: bytes) -> Cut:
    if not is_canonical(message):  # RFC 6376 §5.3
        raise SigningError(
            "the message has line ends other than CR LF; make it canonical (with_crlf) before signing"
        )
    parts = cut(message)
    if (malformed := parts.malformed) is not None:
        raise SigningError(
            f"a line of the header is no field: {malformed[:40].decode('utf-8', 'backslashreplace')!r}"
        )
    return parts


def load_key(key: PrivateKey) -> tuple[str, int, Callable[[bytes], bytes]]:
    """The type of a private key, its bits, and a function that signs a digest."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    loaded = read_private_key(key) if isinstance(key, (bytes, str)) else key
    if isinstance(loaded, Ed25519PrivateKey):
        return ED25519, 256, loaded.sign
    if not isinstance(loaded, RSAPrivateKey):
        raise SigningError("DKIM signs with RSA and Ed25519 keys; this is another kind")
    bits = loaded.key_size
    if bits < MIN_BITS:  # RFC 8301 §3.2
        raise SigningError(
            f"the key has {bits} bits; receivers refuse fewer than {MIN_BITS}, make one of 2048"
        )
    if bits > MAX_BITS:
        raise SigningError(f"the key has {bits} bits; receivers need not read more than 4096")
    padding, prehashed, _ = pkcs1()
    make = loaded.sign
    return RSA, bits, lambda digest: make(digest, padding, prehashed)


def read_private_key(pem: bytes | str) -> object:
    """A private key in PEM, PKCS#8 ("PRIVATE KEY") or PKCS#1 ("RSA PRIVATE KEY"). Raises SigningError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    octets = pem.encode("utf-8", "replace") if isinstance(pem, str) else pem
    if not isinstance(octets, bytes):
        raise SigningError(f"a private key is the text of its PEM file, not {type(pem).__name__}")
    try:
        return load_pem_private_key(octets, None)
    except TypeError:
        raise SigningError("the private key is encrypted; give it without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        what = "a public key" if b"PUBLIC KEY" in octets else "no private key in PEM"
        raise SigningError(
            f"this is {what}; a signature needs what stands after -----BEGIN PRIVATE KEY-----"
        ) from None
