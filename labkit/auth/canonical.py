"""The canonical form of a message: what DKIM hashes, so that harmless changes on the way do no harm.

WHAT       `simple` takes octets as they are (only empty lines at the end of the body go); `relaxed` also forgives
           changes in blanks, folding and the case of field names. A signature names one form for header and body (c=).
           `cut(message)` finds the fields and the body.
RULES      lines end in CR LF. A blank is a space or a tab, nothing else. An empty body is CR LF in simple form, and
           nothing in relaxed form.
STANDARDS  RFC 6376 §3.4.1-3.4.5 (both forms, l=); RFC 5322 §2.2 (fields)
SAFE       linear in the message; a body that is canonical already is not copied
READ NEXT  dkim_verify.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

CRLF = b"\r\n"
SIMPLE, RELAXED = "simple", "relaxed"
_NAME = bytes(octet for octet in range(33, 127) if octet != 0x3A)  # what names are made of
_FOLDED_NAME = re.compile(rb"(?:\A|\r\n)([!-9;-~]+[ \t]*\r\n[ \t][^\r\n]*)")
_FIELD_END = re.compile(rb"\r\n(?![ \t])")
SMALL = 8192  # octets of a header
LONG = b" " * 8
_BLANKS = re.compile(rb"  +")
_ENDS = tuple(CRLF * count for count in (32_768, 512, 16, 1))


@dataclass(frozen=True, slots=True)
class Cut:
    """A message as DKIM sees it: its header as it stands, its fields unfolded, and the body.

    `names` are the fields' names in lower case, "" for a line of the header that is no field.
    """

    head: bytes
    unfolded: list[bytes]
    names: tuple[str, ...]
    body: bytes
    _starts: tuple[tuple[int, bytes], ...] = ()
    _is_spaced: bool = False  # a blank stands before a colon
    _fields: list[bytes] = field(default_factory=list, compare=False, repr=False)

    @property
    def fields(self) -> list[bytes]:
        """The fields as they stand, folding included, without the line end that closes each."""
        if self.head and not self._fields:  # relaxed forms do without
            self._fields.extend(_FIELD_END.split(self.head))
        return self._fields

    @property
    def malformed(self) -> bytes | None:
        """The first line of the header that is no field, if there is one.

        The colon stands in a field's first line: for other programs the header ends where it does not.
        """
        if "" in self.names:
            return self.fields[self.names.index("")]
        folded = _FOLDED_NAME.search(self.head) if self._is_spaced else None
        return folded[1] if folded else None

    def numbers(self, name: str) -> list[int]:
        """Where fields of that name (lower case) stand, top to bottom."""
        return [number for number, known in enumerate(self.names) if known == name]

    def canonical(self, numbers: Iterable[int], form: str) -> list[bytes]:
        """These fields in canonical form, without the line end that closes each."""
        if form == SIMPLE:
            return [self.fields[number] for number in numbers]
        wanted = [(self.unfolded[number], *self._starts[number]) for number in numbers]
        return [start + field[length:].strip(b" ") for field, length, start in wanted]


def cut(message: bytes) -> Cut:
    """The fields and the body of a message. The first empty line ends the header, and nothing else does."""
    if message.startswith(CRLF):
        return Cut(b"", [], (), message[2:])
    head, _, body = message.partition(b"\r\n\r\n")
    head = head.removesuffix(CRLF)
    if not head:
        return Cut(b"", [], (), body)
    unfolded = _unfolded(head).split(CRLF)  # the header as a whole: far sooner than each field by itself
    starts = tuple([each[: each.find(b":") + 1] for each in unfolded])
    names, canonical, is_spaced = (_read_before if len(head) <= SMALL else _read)(starts)
    return Cut(head, unfolded, names, body, canonical, is_spaced)


def _read(starts: tuple[bytes, ...]) -> tuple[tuple[str, ...], tuple[tuple[int, bytes], ...], bool]:
    """What fields start with, up to the colon: their names; for each how long that is and its canonical form; and
    whether a blank stands before one of the colons."""
    canonical = [start[:-1].rstrip(b" ").lower() + start[-1:] for start in starts]
    is_spaced = any(start.endswith(b" :") for start in starts)
    return tuple(map(_name, starts)), tuple(zip(map(len, starts), canonical)), is_spaced


_read_before = lru_cache(maxsize=64)(_read)  # most messages have the fields of one of the last few


def _name(start: bytes) -> str:
    """What stands before the colon, blanks at its end removed, if it is a name (RFC 5322 §3.6.8, §4.5.8)."""
    name = start[:-1].rstrip(b" \t")
    return name.decode("ascii").lower() if name and not name.translate(None, _NAME) else ""


def canonical_field(field: bytes, form: str) -> bytes:
    """One field in canonical form, its line end included (RFC 6376 §3.4.1, §3.4.2)."""
    field = field.removesuffix(CRLF)
    return (field if form == SIMPLE else _joined(_unfolded(field))) + CRLF


def canonical_header(fields: Iterable[bytes], form: str) -> bytes:
    """Several fields in canonical form, in the order given, each with its line end."""
    return b"".join([canonical_field(field, form) for field in fields])


def _unfolded(text: bytes) -> bytes:
    """Folding removed, and each run of blanks made one space."""
    return _one_blank(text.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" "))


def _joined(field: bytes) -> bytes:
    """An unfolded field: the name in lower case, no blanks around the colon nor at the end."""
    name, colon, value = field.partition(b":")
    return name.rstrip(b" ").lower() + colon + value.strip(b" ")


def canonical_body(body: bytes, form: str, length: int | None = None) -> bytes:
    """The body in canonical form, and of it no more than the first `length` octets (l=)."""
    whole = _relaxed(body) if form == RELAXED else _simple(body)
    return whole if length is None or length >= len(whole) else whole[:length]


def _simple(body: bytes) -> bytes:
    """RFC 6376 §3.4.3: empty lines at the end go; one line end stays, or comes if there was none."""
    end = _without_empty_lines(body)
    if body.startswith(CRLF, end):
        return body[: end + 2]  # the same object if nothing goes
    return body[:end] + CRLF


def _relaxed(body: bytes) -> bytes:
    """RFC 6376 §3.4.4: blanks at line ends go, several blanks are one space, then empty lines at the end go."""
    body = _one_blank(body)
    if b" \r\n" in body:
        body = body.replace(b" \r\n", CRLF)
    if body.endswith(b" "):
        body = body[:-1]
    end = _without_empty_lines(body)
    if end == 0:
        return b""
    return body[: end + 2] if body.startswith(CRLF, end) else body[:end] + CRLF


def _one_blank(text: bytes) -> bytes:
    """Each run of blanks as one space; the same object if there is nothing to do."""
    if b"\t" in text:
        text = text.replace(b"\t", b" ")
    if b"  " not in text:
        return text
    if LONG in text:  # so that a megabyte of blanks is one step
        return _BLANKS.sub(b" ", text)
    while b"  " in text:  # three times at most
        text = text.replace(b"  ", b" ")
    return text


def _without_empty_lines(body: bytes) -> int:
    """Where the last line that is not empty ends (before its line end)."""
    end = len(body)
    if not body.endswith(b"\r\n\r\n"):
        return end - 2 if body.endswith(CRLF) else end
    for lines in _ENDS:
        while body.endswith(lines, 0, end):
            end -= len(lines)
    return end
