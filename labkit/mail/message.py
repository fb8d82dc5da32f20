"""A message: the exact bytes, and the header fields in their order.

WHAT       `Message.parse(content)` cuts content into fields and body; `bytes(message)` gives the same bytes back.
RULES      bytes are the truth: nothing that arrived is ever written anew. Lines end in CR LF.
STANDARDS  RFC 5322 §2.1 (lines), §2.2 (fields, folding), §3.5
READ NEXT  reply.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

CRLF = b"\r\n"
SMALL = 65_536  # octets: so large a content is remembered with its fields, one of the last few
LARGE = 1_200_000  # and so large a one if it is the last: its header may be all of it
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*")
_BARE = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class HeaderField:
    """One header field as it stands, folding and final line end included (RFC 5322 §2.2)."""

    raw: bytes

    @property
    def name(self) -> str:
        return self.raw.partition(b":")[0].strip().decode("ascii", "replace")

    @property
    def value(self) -> str:
        """The body unfolded: line ends removed, blanks around it cut (RFC 5322 §2.2.3)."""
        body = self.raw.partition(b":")[2]
        return body.replace(b"\r\n", b"").replace(b"\n", b"").strip().decode("utf-8", "replace")

    @classmethod
    def make(cls, name: str, *lines: str, fold: str = "\r\n\t") -> HeaderField:
        """Write a field; further lines are folded with a tab, as Exim folds its Received lines.

        Raises ValueError for text that would start a new line by itself (header injection).
        """
        if any(re.search(r"[\r\n\0]", text) for text in (name, *lines)):
            raise ValueError(f"a line end inside the header field {name!r}")
        return cls(f"{name}: {fold.join(lines)}\r\n".encode("utf-8", "surrogateescape"))


@dataclass(frozen=True, slots=True)
class Message:
    """Content as fields, the empty line (or nothing, if there is none) and the body."""

    header_fields: tuple[HeaderField, ...]
    separator: bytes
    body: bytes

    @classmethod
    def parse(cls, content: bytes) -> Message:
        """Cut `content` into fields and body. Never fails: the first line that is no field starts the body.

        The same content comes several times on its way through an MTA; it is cut once.
        """
        if len(content) <= SMALL:
            return _parsed(content)
        return _parsed_last(content) if len(content) <= LARGE else cls.cut(content)

    @classmethod
    def cut(cls, content: bytes) -> Message:
        """The same, and nothing is remembered: for what comes once."""
        fields: list[HeaderField] = []
        position = 0
        while found := _FIELD.match(content, position):
            fields.append(HeaderField(found[0]))
            position = found.end()
        separator = CRLF if content.startswith(CRLF, position) else b""
        return cls(tuple(fields), separator, content[position + len(separator) :])

    def __str__(self) -> str:
        """The message to read, as a program shows its source: lines end in LF, octets outside UTF-8 are escaped."""
        return bytes(self).decode("utf-8", "backslashreplace").replace("\r\n", "\n")

    def __bytes__(self) -> bytes:
        return b"".join((*(field.raw for field in self.header_fields), self.separator, self.body))

    def __len__(self) -> int:
        return sum(len(field.raw) for field in self.header_fields) + len(self.separator) + len(self.body)

    def prepend(self, field: HeaderField) -> Message:
        """The same message with one more field at the top, where trace fields go (RFC 5321 §4.4).

        A body that followed the fields without an empty line gets one: else it would be taken for a field.
        """
        separator = self.separator or (CRLF if self.body else b"")
        return replace(self, header_fields=(field, *self.header_fields), separator=separator)

    def all(self, name: str) -> Iterator[HeaderField]:
        """The fields of that name, top to bottom."""
        wanted = name.lower().encode("ascii", "replace")
        length = len(wanted)
        return (
            field
            for field in self.header_fields
            if field.raw[:length].lower() == wanted and field.name.lower() == name.lower()
        )

    def first(self, name: str) -> str | None:
        """The unfolded value of the topmost field of that name, or None."""
        return next((field.value for field in self.all(name)), None)


_parsed = lru_cache(maxsize=8)(Message.cut)
_parsed_last = lru_cache(maxsize=1)(Message.cut)


def octets_of(given: bytes | bytearray | memoryview) -> bytes:
    """A message that somebody gave, as bytes. Raises TypeError for anything else, with what to give."""
    if isinstance(given, bytes):
        return given
    if isinstance(given, bytearray | memoryview):
        return bytes(given)
    remedy = ": read the file in mode 'rb', or .encode() the text" if isinstance(given, str) else ""
    raise TypeError(f"a message is bytes, not {type(given).__name__}{remedy}")


def is_canonical(content: bytes) -> bool:
    """True if every CR and LF in `content` belongs to a CR LF (RFC 5321 §2.3.8)."""
    pairs = content.count(CRLF)
    return content.count(b"\n") == pairs and content.count(b"\r") == pairs


def defuse_bare_line_ends(content: bytes) -> bytes:
    """Make received content canonical, as Exim does: a bare CR becomes a line end, a bare LF a space.

    A bare LF that stayed one could end the message at a less careful server further on (SMTP smuggling).
    """
    if is_canonical(content):
        return content
    return content.replace(CRLF, b"\r").replace(b"\n", b" ").replace(b"\r", CRLF)


def with_crlf(text: bytes) -> bytes:
    """Text of this machine (lines ending in LF) as mail content (lines ending in CR LF)."""
    content = _BARE.sub(CRLF, text)
    return content if not content or content.endswith(CRLF) else content + CRLF
