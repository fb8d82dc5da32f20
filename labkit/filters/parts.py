"""What a reader of the message would see: its text parts, decoded, within limits.

WHAT       `read_parts(content)` -> Parts: the header fields of the top, and each text/plain and text/html part as text.
DECIDES    a message that claims nothing is text/plain. A charset that is not known is read as UTF-8, what does not fit
           becomes U+FFFD. Attachments are named (`kinds`: their types and the ends of their file names), never opened.
SAFE       the first 512 KiB are read, ten levels deep, 200 parts, 200,000 characters; beyond that we stop and say so
           (`is_cut`). Each level is looked through once, so time is linear. No exception, whatever the message says.
STANDARDS  RFC 2045 §5 (Content-Type), §6 (transfer encodings), RFC 2046 §5.1 (multipart), §5.2.1 (message/rfc822)
READ NEXT  tokens.py
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from quopri import decodestring

from labkit.mail.encoded_words import codec_of
from labkit.mail.message import HeaderField, Message

MOST_OCTETS = 524_288
MOST_DEPTH = 10
MOST_PARTS = 200
MOST_CHARACTERS = 200_000
MOST_FIELDS = 300  # of one part
LONGEST_VALUE = 4_000
_TYPE = re.compile(r"\s*([\w.+-]{1,60}/[\w.+-]{1,80})")
_PARAMETER = re.compile(
    r";\s*([a-z*0-9]{1,20})\s*=\s*(?:\"([^\"]{0,200})\"|([^\s;\"]{1,200}))", re.IGNORECASE
)
_NO_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")
_FILE_END = re.compile(r"\.([a-z0-9]{1,8})\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Text:
    """One part that is shown: `kind` is text/plain or text/html."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Parts:
    """A message as its reader sees it. `kinds`: text/html, file:pdf, … in their order."""

    fields: tuple[HeaderField, ...]
    texts: tuple[Text, ...]
    kinds: tuple[str, ...]
    is_cut: bool


@dataclass(slots=True)
class _Reading:
    """What has been read so far, and how much room is left."""

    texts: list[Text] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    parts: int = 0
    characters: int = 0
    is_cut: bool = False

    def has_room(self) -> bool:
        if self.parts < MOST_PARTS and self.characters < MOST_CHARACTERS:
            return True
        self.is_cut = True
        return False


def read_parts(content: bytes) -> Parts:
    """Read a message. Never fails."""
    reading = _Reading(is_cut=len(content) > MOST_OCTETS)
    message = Message.cut(_lines(content[:MOST_OCTETS]))
    waiting: list[tuple[Message, int]] = [(message, 0)]
    while waiting and reading.has_room():
        part, depth = waiting.pop()
        reading.parts += 1
        inside = _read_part(reading, part)
        if inside and depth >= MOST_DEPTH:
            reading.is_cut = True
            continue
        waiting += [(Message.cut(octets), depth + 1) for octets in reversed(inside)]
    return Parts(
        message.header_fields[:MOST_FIELDS],
        tuple(reading.texts),
        tuple(dict.fromkeys(reading.kinds)),
        reading.is_cut,
    )


def _lines(content: bytes) -> bytes:
    """With CR LF, as mail travels; a stored file has LF."""
    return content if b"\r\n" in content else content.replace(b"\n", b"\r\n")


def _read_part(reading: _Reading, part: Message) -> Sequence[bytes]:
    """Take what this part shows; what is inside of it (a multipart, a message) comes back to be read."""
    kind, parameters = _content_type(_value(part, "content-type"))
    reading.kinds.append(kind)
    _note_file(reading, part, parameters)
    if kind.startswith("multipart/") and (boundary := parameters.get("boundary")):
        return _split(part.body, boundary)
    if kind == "message/rfc822":
        return (part.body.lstrip(b"\r\n"),)
    if kind in ("text/plain", "text/html"):
        octets = _unwrapped(part.body, _value(part, "content-transfer-encoding"))
        text = _as_text(octets, parameters.get("charset", ""))
        room = MOST_CHARACTERS - reading.characters
        reading.is_cut = reading.is_cut or len(text) > room
        reading.texts.append(Text(kind, text[:room]))
        reading.characters += min(len(text), room)
    return ()


def _value(part: Message, name: str) -> str:
    return (part.first(name) or "")[:LONGEST_VALUE]


def _content_type(value: str) -> tuple[str, dict[str, str]]:
    """The type in small letters and its parameters. What cannot be read is text/plain (RFC 2045 §5.2)."""
    found = _TYPE.match(value)
    if found is None:
        return "text/plain", {}
    parameters = {
        each[1].lower(): each[2] or each[3] or "" for each in _PARAMETER.finditer(value, found.end())
    }
    return found[1].lower(), parameters


def _note_file(reading: _Reading, part: Message, parameters: dict[str, str]) -> None:
    disposition = _PARAMETER.findall(_value(part, "content-disposition"))
    names = [quoted or plain for key, quoted, plain in disposition if key.lower().startswith("filename")]
    for name in (*names, parameters.get("name", "")):
        if found := _FILE_END.search(name):
            reading.kinds.append(f"file:{found[1].lower()}")


def _split(body: bytes, boundary: str) -> list[bytes]:
    """The parts between the lines --boundary, up to --boundary-- or the end (RFC 2046 §5.1.1)."""
    line = re.compile(
        rb"(?:\A|\r\n)--" + re.escape(boundary.encode("utf-8", "replace")) + rb"(--)?[ \t]*(?=\r\n|\Z)"
    )
    out: list[bytes] = []
    start = None
    for found in line.finditer(body):
        if start is not None:
            out.append(body[start : found.start()])
        start = found.end() + 2
        if found[1] or len(out) > MOST_PARTS:
            return out
    return out if start is None else [*out, body[start:]]


def _unwrapped(body: bytes, encoding: str) -> bytes:
    """Without its transfer encoding. Octets that no encoder writes are skipped."""
    encoding = encoding.strip().lower()
    if encoding == "base64":
        letters = _NO_BASE64.sub(b"", body)
        letters = letters[: len(letters) - (len(letters) % 4 == 1)]
        return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))
    return decodestring(body) if encoding == "quoted-printable" else body


def _as_text(octets: bytes, charset: str) -> str:
    return octets[: 4 * MOST_CHARACTERS].decode(codec_of(charset) or "utf-8", "replace")
