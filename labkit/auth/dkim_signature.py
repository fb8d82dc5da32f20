"""A DKIM-Signature field: read it, and compute the two hashes that it vouches for.

WHAT       `parse_signature(field)` reads one. `header_input` is what its header hash is taken over: the named fields,
           bottom-up, then the field itself without the value of b=. `body_digest` is the hash of the body.
WHY APART  ARC's message signature is the same field under another name and without v= (`kind`), and Exim's dkim
           ACL asks for the pieces.
RULES      a name in h= takes the lowest field of that name that is not yet taken; one that has no field left takes
           nothing, and so keeps a field of that name from being added later. b= goes with the blanks around its value.
           The field itself is never one of the named ones.
STANDARDS  RFC 6376 §3.5 (tags), §3.7 (both hashes), §5.4.2 (repeated names), §6.1.1; RFC 8463 §3; RFC 8617 §4.1.2
SAFE       linear in the field and the header; numbers have at most 76 digits
READ NEXT  dkim_verify.py
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from labkit.auth.canonical import RELAXED, SIMPLE, Cut, canonical_body, canonical_field
from labkit.auth.dkim_key import ED25519, RSA, decode_base64
from labkit.auth.tags import TagList, TagSyntaxError, parse_tags, without_blanks

DKIM_SIGNATURE = "dkim-signature"
ARC_MESSAGE_SIGNATURE = "arc-message-signature"
ALGORITHMS = {"rsa-sha256": RSA, "ed25519-sha256": ED25519}  # RFC 8301 §3.1, RFC 8463 §3
FORMS = (SIMPLE, RELAXED)
_C = {f"{header}/{body}": (header, body) for header in FORMS for body in FORMS}
_NEEDED = {  # RFC 6376 §3.5, RFC 8617 §4.1.2
    DKIM_SIGNATURE: frozenset({"v", "a", "b", "bh", "d", "h", "s"}),
    ARC_MESSAGE_SIGNATURE: frozenset({"i", "a", "b", "bh", "d", "h", "s"}),
}
_B_FIRST = re.compile(rb"[ \t\r\n]*b[ \t\r\n]*=")
_B = re.compile(rb";[ \t\r\n]*b[ \t\r\n]*=")
_NAME = bytes(octet for octet in range(33, 127))  # of names and the colons between them
_DOMAIN = re.compile(
    r"[A-Za-z0-9_\u0080-\U0010ffff](?:[A-Za-z0-9_.\u0080-\U0010ffff-]*[A-Za-z0-9_\u0080-\U0010ffff])?"
)
_QUOTED = re.compile(rb"=([0-9A-F]{2})")


class SignatureError(ValueError):
    """The field cannot be evaluated. `result` is the word of RFC 8601 §2.7.1 for it, the text says why."""

    def __init__(self, result: str, words: str, tags: TagList | None = None) -> None:
        super().__init__(words)
        self.result, self.tags = result, tags


class Signature(NamedTuple):
    """A signature field, read. `number` says where in the header it stands (0: top); `field` is what was read."""

    field: bytes
    number: int
    tags: TagList
    algorithm: str
    key_type: str
    header_form: str
    body_form: str
    domain: str
    selector: str
    identity: str
    signed_fields: tuple[str, ...]
    body_hash: bytes
    signature: bytes
    length: int | None
    signed_at: int | None
    expires: int | None


def parse_signature(field: bytes, number: int = 0, kind: str = DKIM_SIGNATURE) -> Signature:
    """Read a field, folded or unfolded, with or without its last line end. Raises SignatureError."""
    try:
        text = field.partition(b":")[2].decode("utf-8")
        tags = parse_tags(text)
    except UnicodeDecodeError:
        raise SignatureError("neutral", "the field has octets that are no UTF-8") from None
    except TagSyntaxError as wrong:
        raise SignatureError("neutral", f"the field is no list of tags: {wrong}") from None
    try:
        return _signature(field, number, tags, kind)
    except SignatureError as wrong:
        raise SignatureError(wrong.result, str(wrong), tags) from None


def _signature(field: bytes, number: int, tags: TagList, kind: str) -> Signature:
    values = dict(tags.pairs)
    if not _NEEDED[kind] <= values.keys():
        raise SignatureError("neutral", f"the tag {min(_NEEDED[kind] - values.keys())}= is missing")
    if kind == DKIM_SIGNATURE and values["v"] != "1":  # RFC 6376 §6.1.1
        raise SignatureError("neutral", f"v={values['v'][:20]}: only version 1 is known")
    algorithm = values["a"].lower()
    header_form, body_form = canonicalization(values.get("c", "simple/simple"))
    domain, selector = read_domain(values, "d"), read_domain(values, "s")
    if "q" in values and "dns/txt" not in without_blanks(values["q"]).lower().split(":"):
        raise SignatureError("neutral", f"q={values['q'][:40]}: only dns/txt is known")
    signed_at, expires = read_number(values, "t", 12), read_number(values, "x", 12)
    if signed_at is not None and expires is not None and expires <= signed_at:  # RFC 6376 §3.5, x=
        raise SignatureError("neutral", "x= (expires) is not later than t= (signed)")
    signature = Signature(
        field,
        number,
        tags,
        algorithm,
        ALGORITHMS.get(algorithm, ""),
        header_form,
        body_form,
        domain,
        selector,
        _identity(values.get("i"), domain) if kind == DKIM_SIGNATURE else f"@{domain}",
        (_names_before if len(values["h"]) <= 500 else _names)(values["h"]),
        read_base64(values, "bh"),
        read_base64(values, "b"),
        read_number(values, "l", 76),
        signed_at,
        expires,
    )
    if not signature.key_type:
        if algorithm == "rsa-sha1":  # RFC 8301 §3.1: such a signature has permanently failed evaluation
            raise SignatureError("permerror", "a=rsa-sha1 must not be used any more")
        raise SignatureError("neutral", f"a={values['a'][:40]} is no algorithm that DKIM knows")
    if "from" not in signature.signed_fields:  # RFC 6376 §5.4, §6.1.1
        raise SignatureError("permerror", "h= does not name From:, which every signature must cover")
    return signature


def canonicalization(value: str) -> tuple[str, str]:
    """The forms of header and body that c= names; the body's is simple if it is not said. Raises SignatureError."""
    if known := _C.get(value):
        return known
    header, slash, body = value.lower().partition("/")
    header, body = header.strip(" \t\r\n"), body.strip(" \t\r\n") if slash else SIMPLE
    if header not in FORMS or body not in FORMS:
        raise SignatureError("neutral", f"c={value[:40]}: a form is simple or relaxed")
    return header, body


def read_domain(values: dict[str, str], name: str) -> str:
    value = values[name]
    if len(value) > 253 or not _is_domain(value):
        raise SignatureError("neutral", f"{name}={value[:40]} is no name in the DNS")
    return value


@lru_cache(maxsize=256)
def _is_domain(value: str) -> bool:
    return _DOMAIN.fullmatch(value) is not None and ".." not in value


def _identity(value: str | None, domain: str) -> str:
    """The agent or user, whose domain is d= or below it (RFC 6376 §3.5)."""
    if value is None:
        return f"@{domain}"
    identity = without_blanks(value)
    if "=" in identity:
        octets = _QUOTED.sub(
            lambda found: bytes([int(found[1], 16)]), identity.encode("utf-8", "surrogateescape")
        )
        identity = octets.decode("utf-8", "replace")
    _, at, host = identity.rpartition("@")
    if not at or len(host) > 253 or not _is_domain(host):
        raise SignatureError("neutral", f"i={value[:40]} has no domain")
    if f".{host.lower()}".endswith(f".{domain.lower()}"):
        return identity
    raise SignatureError("permerror", f"the domain of i=, {host[:80]}, is not {domain[:80]} (d=) or below it")


def _names(value: str) -> tuple[str, ...]:
    names = tuple(without_blanks(value).lower().split(":"))
    if "" in names or not value.isascii() or without_blanks(value).encode().translate(None, _NAME):
        raise SignatureError("neutral", "h= is no list of field names")
    return names


_names_before = lru_cache(maxsize=128)(_names)


def read_base64(values: dict[str, str], name: str) -> bytes:
    octets = decode_base64(values[name])
    if not octets:
        raise SignatureError("neutral", f"{name}= is empty" if octets == b"" else f"{name}= is not base64")
    return octets


def read_number(values: dict[str, str], name: str, digits: int) -> int | None:
    value = values.get(name)
    if value is None:
        return None
    if len(value) > digits or not (value.isascii() and value.isdigit()):
        raise SignatureError("neutral", f"{name}={value[:20]} is no number of at most {digits} digits")
    return int(value)


def without_b(field: bytes) -> bytes:
    """A signature field with the value of b= deleted, and the blanks around the value (RFC 6376 §3.7)."""
    name, colon, value = field.removesuffix(b"\r\n").partition(b":")
    found = _B_FIRST.match(value) or _B.search(value)
    if found is None:
        return name + colon + value
    end = value.find(b";", found.end())
    return name + colon + value[: found.end()] + (value[end:] if end >= 0 else b"")


def chosen(message: Cut, names: tuple[str, ...], but: int | None = None) -> tuple[int, ...]:
    """Which fields the names take: their numbers, in the order of the names. `but` is the signature's own."""
    few = len(message.names) + len(names) <= 100  # most messages look like one of the last few
    return (_chosen_before if few else _chosen)(message.names, names, but)


def _chosen(here: tuple[str, ...], names: tuple[str, ...], but: int | None) -> tuple[int, ...]:
    places: dict[str, list[int]] = {}
    for number, name in enumerate(here):
        if number != but:
            places.setdefault(name, []).append(number)
    return tuple([left.pop() for name in names if (left := places.get(name))])


_chosen_before = lru_cache(maxsize=64)(_chosen)


def header_input(
    message: Cut, names: tuple[str, ...], form: str, own: bytes = b"", number: int | None = None
) -> bytes:
    """What the header hash is taken over: the named fields, then the signature without b=, and no line end.

    The signature is the field `number` of the message, or `own` if it is not there yet.
    """
    numbers = chosen(message, names, number)
    if number is None:
        parts = [*message.canonical(numbers, form), canonical_field(own, form)[:-2]]
    else:
        parts = message.canonical((*numbers, number), form)
    parts[-1] = without_b(parts[-1])  # in canonical form, too, b= has its value and the blanks around it
    return b"\r\n".join(parts)


def header_input_of(message: Cut, signature: Signature) -> bytes:
    """The same, for a signature that stands in the message."""
    return header_input(message, signature.signed_fields, signature.header_form, number=signature.number)


def body_digest(body: bytes, form: str, length: int | None = None) -> bytes:
    """The SHA-256 hash of the body in canonical form."""
    return sha256(canonical_body(body, form, length)).digest()
