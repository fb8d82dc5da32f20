"""A DKIM-Signature field and a key record, read as Exim reads them: leniently, and not as RFC 6376 would.

WHAT       `read_signature(field)` and `read_key(record)`; values that keep what Exim keeps of them.
WHY        a host with an exim.conf is to judge as Exim does, and its variables show what Exim's show. What the RFC
           says of the same message is told by dkim_verify.py.
LIKE EXIM  tags that nobody knows are passed over, the last one of a name counts; blanks within a value go; a field
           whose a= is not known is no signature at all; of a tag of a key record the first letter counts
STANDARDS  RFC 6376 §3.5, §3.6.1 (what is read)
SAFE       linear; every text is read, whatever it is
READ NEXT  exim_dkim_verify.py
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from labkit.eximconf.expansion.splitting import split_at

SIMPLE, RELAXED = "simple", "relaxed"
HASHES = ("sha1", "sha256", "sha512")
KEY_TYPES = ("rsa", "ed25519")
UNLIMITED = -1
_CANONS = {
    "simple/simple": (SIMPLE, SIMPLE),
    "simple/relaxed": (SIMPLE, RELAXED),
    "relaxed/simple": (RELAXED, SIMPLE),
    "relaxed/relaxed": (RELAXED, RELAXED),
    "simple": (SIMPLE, SIMPLE),
    "relaxed": (RELAXED, SIMPLE),
}
_TAG = re.compile(r"[a-z][^=]*=")
_LETTERS = re.compile("[a-z]+")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_QUOTED = re.compile("=([0-9A-Fa-f]{2})?")
_NUMBER = re.compile("([+-]?)([0-9]+)")
_MOST = 2**64


@dataclass(frozen=True, slots=True)
class SignatureField:
    """One DKIM-Signature. Texts are octets (latin-1). None: the tag is not there, or could not be decoded.

    `without_b` is the field without the value of b=, as it was signed; `version` is 1, -1 for another one, 0 for none;
    `body_length` is UNLIMITED without l=.
    """

    key_type: str
    hash: str
    without_b: bytes
    domain: str | None = None
    selector: str | None = None
    identity: str | None = None
    names: str | None = None  # h=
    copied: str | None = None  # z=
    signature: bytes | None = None
    body_hash: bytes | None = None
    canon_header: str = SIMPLE
    canon_body: str = SIMPLE
    version: int = 0
    created: int = 0
    expires: int = 0
    body_length: int = UNLIMITED

    @property
    def algorithm(self) -> str:
        return f"{self.key_type}-{self.hash}"


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What the DNS says of a key."""

    key: bytes
    hashes: str | None = None
    granularity: str = "*"
    services: str = "*"
    notes: str | None = None
    is_testing: bool = False
    forbids_subdomains: bool = False


def read_signature(field: bytes) -> SignatureField | None:
    """The signature in a header field, or None: its a= names nothing that Exim knows."""
    text = field.partition(b"\0")[0].decode("latin-1")
    name, colon, rest = text.partition(":")
    pieces, at = [name + colon], 0
    tags: dict[str, str] = {}
    while found := _TAG.search(rest, at):
        tag = "".join(_LETTERS.findall(found[0]))
        end = rest.find(";", found.end())
        end = len(rest) if end < 0 else end
        pieces.append(rest[at : found.end() if tag == "b" else end])
        value = rest[found.end() : end].translate(_NO_BLANKS)
        if value and (len(tag) == 1 or tag == "bh"):
            tags[tag] = value
        at = end
    pieces.append(rest[at:])
    return _of_tags(tags, "".join(pieces).rstrip("\r\n").encode("latin-1"))


_NO_BLANKS = str.maketrans("", "", " \t\r\n")


def _of_tags(tags: dict[str, str], without_b: bytes) -> SignatureField | None:
    key_type, hash_name = (*tags.get("a", "").split("-"), "")[:2]
    if key_type not in KEY_TYPES or hash_name not in HASHES:
        return None
    canon_header, canon_body = _CANONS.get(tags.get("c", ""), (SIMPLE, SIMPLE))
    return SignatureField(
        key_type,
        hash_name,
        without_b,
        tags.get("d"),
        tags.get("s"),
        unquoted(tags["i"]) if "i" in tags else None,
        tags.get("h"),
        unquoted(tags["z"]) if "z" in tags else None,
        from_base64(tags["b"]) if "b" in tags else None,
        from_base64(tags["bh"]) if "bh" in tags else None,
        canon_header,
        canon_body,
        (1 if tags["v"] == "1" else -1) if "v" in tags else 0,
        _number(tags.get("t", "")) % _MOST,
        _number(tags.get("x", "")) % _MOST,
        max(UNLIMITED, _number(tags["l"])) if "l" in tags else UNLIMITED,
    )


def read_key(record: str) -> KeyRecord | None:
    """A key record, or None: it is of another version, or has no p= that can be decoded."""
    tags: dict[str, str] = {}
    for item in split_at(record, ";"):
        name, equals, value = item.partition("=")
        if equals and name:
            tags[name[0]] = value
    key = from_base64(tags["p"]) if "p" in tags else None
    if tags.get("v", "DKIM1") != "DKIM1" or key is None:
        return None
    flags = tags.get("t", "")
    return KeyRecord(
        key,
        tags.get("h"),
        tags.get("g", "*"),
        tags.get("s", "*"),
        unquoted(tags["n"]) if "n" in tags else None,
        "y" in flags,
        "s" in flags,
    )


def from_base64(text: str) -> bytes | None:
    """What is not base64 to its end is nothing."""
    bare = "".join(text.split())
    return base64.b64decode(bare) if bare.isascii() and _BASE64.fullmatch(bare) else None


def unquoted(text: str) -> str:
    """Hexadecimal numbers behind = are octets; a lonely = goes."""
    return _QUOTED.sub(lambda found: chr(int(found[1], 16)) if found[1] else "", text).partition("\0")[0]


def _number(text: str) -> int:
    """As C reads one: the digits at the beginning, 0 without any; what is too long is the largest."""
    found = _NUMBER.match(text)
    if found is None:
        return 0
    value = int(found[2]) if len(found[2]) < 19 else 2**63 - 1
    return -value if found[1] == "-" else value
