"""The DKIM-Signature field that Exim writes: which fields it signs, in which order, and how it folds.

WHAT       `sign_as_exim(message, wanted)` gives the field, to be put on top of the message, or Unsigned with the words
           of the log. The same message, key and time give the same octets as Exim.
DECIDES    the fields: from the bottom of the header to its top, each if the list names it. A name counts once; with +
           in front it counts for all fields of that name, and is signed once more as absent; with = only what is there
           is signed. Names for which there is no field are signed as absent: nobody can add such a field later.
UNLIKE     Exim's process dies of a list that names no field: here that is a reason not to sign;
           a body that is empty, or of empty lines, is CR LF in simple form (RFC 6376 §3.4.3): Exim takes it for
           nothing, and other hosts call its signature bad
STANDARDS  RFC 6376 §3.5, §5.4; RFC 8463 §3; RFC 5322 §2.1.1 (78 columns)
SAFE       linear in the message
READ NEXT  labkit/delivery/dkim.py decides what is wanted
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from labkit.auth.canonical import canonical_body, canonical_field, cut
from labkit.eximconf.expansion.splitting import split_list

CRLF = b"\r\n"
COLUMNS = 78
NO_FIELDS = "dkim_sign_headers names no field"
NO_KEY = "The requested data were not available."
BAD_KEY = "Base64 decoding error."


@dataclass(frozen=True, slots=True)
class Wanted:
    """A signature that is wanted. Texts are octets (latin-1); `names` is the list of fields; 0: no such time."""

    domain: str
    selector: str
    key: str  # PEM
    names: str
    hash: str = "sha256"
    canon: str = "relaxed"
    identity: str = ""
    created: int = 0
    expires: int = 0


@dataclass(frozen=True, slots=True)
class Unsigned:
    """Why there is no signature: what the library said."""

    words: str


def sign_as_exim(message: bytes, wanted: Wanted) -> bytes | Unsigned:
    """The field with its line end."""
    key = _loaded(wanted.key)
    if isinstance(key, Unsigned):
        return key
    seen = cut(message)
    body = hashlib.new(wanted.hash, canonical_body(seen.body, wanted.canon)).digest()
    fields, names = _chosen(seen.fields, wanted.names)
    if not names:
        return Unsigned(NO_FIELDS)
    written = _Field(wanted, f"{key.type}-{wanted.hash}", names, _base64(body))
    own = canonical_field(written.text("").encode("latin-1"), wanted.canon).removesuffix(CRLF)
    octets = b"".join([*(canonical_field(field, wanted.canon) for field in fields), own])
    return written.text(_base64(key.sign(octets, wanted.hash))).encode("latin-1") + CRLF


@lru_cache(maxsize=32)
def _loaded(pem: str) -> _Key | Unsigned:
    """To read a key is much dearer than to sign with it: it is looked at whether its numbers fit together."""
    return _Key.load(pem)


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def _chosen(fields: Sequence[bytes], listed: str) -> tuple[list[bytes], list[str]]:
    """The fields that are signed, from the bottom to the top, and the names for h=."""
    items = list(split_list(listed))
    signed: list[bytes] = []
    names: list[str] = []
    left: dict[str, list[int]] = {}  # where in the list a name still counts
    for number, item in enumerate(items):
        left.setdefault(item.lstrip("+=").lower() if item[:1] in "+=" else item.lower(), []).append(number)
    used: set[int] = set()
    for field in reversed(fields):
        raw, colon, _ = field.partition(b":")
        name = raw.decode("latin-1")
        places = left.get(name.lower())
        if not colon or not places:
            continue
        signed.append(field)
        names.append(name)
        if items[places[0]][:1] not in ("+", "="):
            used.add(places.pop(0))
    for number, item in enumerate(items):
        bare = item.removeprefix("+")
        if number not in used and bare[:1] not in ("=", "_"):
            names.append(bare)
    return signed, names


class _Field:
    """A field that is written twice: without b=, to be signed, and with it."""

    def __init__(self, wanted: Wanted, algorithm: str, names: list[str], body_hash: str) -> None:
        self._wanted, self._algorithm, self._names, self._body_hash = wanted, algorithm, names, body_hash

    def text(self, signature: str) -> str:
        wanted = self._wanted
        folded = _Folded("DKIM-Signature: v=1")
        folded.tag("a=", self._algorithm)
        folded.tag("q=", "dns/txt")
        folded.tag("c=", f"{wanted.canon}/{wanted.canon}")
        folded.tag("d=", wanted.domain)
        folded.tag("s=", wanted.selector)
        for number, name in enumerate(self._names):
            if number:
                folded.add(":")
                folded.add(name)
            else:
                folded.tag("h=", name)
        folded.tag("bh=", self._body_hash)
        for tag, value in (("i=", wanted.identity), ("t=", wanted.created), ("x=", wanted.expires)):
            if value:
                folded.tag(tag, str(value))
        if signature:
            folded.tag("b=", signature)
            folded.add(";")
        else:
            folded.tag("b=;", "")  # in one piece: no fold may come before the semicolon
        return folded.text


class _Folded:
    """A field that grows; a line has at most 78 columns, and what fits on a line of its own is not divided."""

    def __init__(self, text: str) -> None:
        self._parts = [text]
        self._column = len(text)

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def tag(self, name: str, value: str) -> None:
        """A semicolon, a blank (or a fold), and the tag with its value."""
        column, waits = self._column, False
        if column < COLUMNS:
            self._put(";")
        else:
            self._fold()
            waits = True
        length = (2 if waits else 1) + len(name) + len(value)
        folds = length < COLUMNS and self._column + length > COLUMNS
        if folds:
            self._fold()
        if waits:
            self._put("; ")
        elif not folds and self._column < COLUMNS:
            self._put(" ")
        self.add(name)
        self._put_in_pieces(value)

    def add(self, text: str) -> None:
        """Text that goes on the same line if it fits, on the next one if it fits there, else on both."""
        if len(text) < COLUMNS and self._column + len(text) > COLUMNS:
            self._fold()
        self._put_in_pieces(text)

    def _put_in_pieces(self, text: str) -> None:
        while text:
            if self._column >= COLUMNS:
                self._fold()
            room = COLUMNS - self._column
            self._put(text[:room])
            text = text[room:]

    def _put(self, text: str) -> None:
        self._parts.append(text)
        self._column += len(text)

    def _fold(self) -> None:
        self._parts.append("\r\n\t")
        self._column = 1


@dataclass(frozen=True, slots=True)
class _Key:
    """A private key of the library that does the arithmetic."""

    key: object
    type: str

    @classmethod
    def load(cls, pem: str) -> _Key | Unsigned:
        """The key, or what GnuTLS would say of it."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        at = "privkey PEM-block import: "
        if "PRIVATE KEY-----" not in pem:
            return Unsigned(at + NO_KEY)
        try:
            key = load_pem_private_key(pem.encode("latin-1"), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it is encrypted
            return Unsigned(at + BAD_KEY)
        if isinstance(key, rsa.RSAPrivateKey):
            return cls(key, "rsa")
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return cls(key, "ed25519")
        return Unsigned(
            f"Unhandled key type: {'4 (EC/ECDSA)' if isinstance(key, ec.EllipticCurvePrivateKey) else 0}"
        )

    def sign(self, octets: bytes, hash_name: str) -> bytes:
        """Ed25519 signs the hash (RFC 8463 §3)."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

        named = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256(), "sha512": hashes.SHA512()}
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(octets, padding.PKCS1v15(), named[hash_name])
        assert isinstance(self.key, ed25519.Ed25519PrivateKey)
        return self.key.sign(hashlib.new(hash_name, octets).digest())
