"""What all delivery reports have in common: their header, their three parts, and what a configuration may say of them.

WHAT       `DeliveryReport` puts a report together; `returned` is what it says of the message it is about.
LIKE EXIM  the references of RFC 5322 §3.6.4, the first and the last eleven; a message too long or with a line too long
           comes back without its body
STANDARDS  RFC 3462 (multipart/report), RFC 3464 (delivery status), RFC 3461 §4.3, §4.4 (RET, ENVID)
READ NEXT  report.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zlib import crc32

from labkit.mail.address import Mailbox
from labkit.mail.dates import header_date
from labkit.mail.message import HeaderField, Message, with_crlf
from labkit.queue.item import QueueItem

LONGEST_LINE = 900  # octets; RFC 5322 §2.1.1 allows 998
LONGEST_DIAGNOSTIC = 950 - len("Diagnostic-Code: smtp; ")
MOST_REFERENCES = 12
CREATED = "This message was created automatically by mail delivery software.\n"
_BUFFER = 8192  # Exim rounds the limit for what it returns up to this
_MESSAGE_ID = re.compile(rf"<[!-;=?-~]{{1,{LONGEST_LINE}}}>")
_FIELD = re.compile(r"[!-9;-~]+:")
_ONLY_HEADER = "Due to administrative limits only headers are returned"


@dataclass(frozen=True, slots=True)
class ReportStyle:
    """What the configuration says of reports. `paragraphs` are those of a message file, expanded; "": not there."""

    sender: str = ""  # dsn_from; "" is the usual one
    reply_to: str = ""
    text: str = ""  # bounce_message_text
    returns_body: bool = True
    size_limit: int = 100 * 1024
    line_limit: int = 998
    paragraphs: tuple[str, ...] = ()
    has_file: bool = False

    def paragraph(self, number: int) -> str:
        return self.paragraphs[number] if number < len(self.paragraphs) else ""


USUAL_STYLE = ReportStyle()


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """A report about `item`, from `host`, under its own `queue_id`."""

    item: QueueItem
    host: str
    qualify_domain: str
    queue_id: str
    now: datetime
    style: ReportStyle

    @property
    def boundary(self) -> str:
        number = 10**9 + crc32(self.queue_id.encode()) % 10**9  # as long as Exim's, which is random
        return f"{int(self.now.timestamp())}-eximdsn-{number}"

    def fields(self, auto_submitted: str, to: str) -> list[HeaderField]:
        style = self.style
        sender = style.sender or f"Mail Delivery System <Mailer-Daemon@{self.qualify_domain}>"
        return [
            *([HeaderField.make("Reply-To", style.reply_to)] if style.reply_to else []),
            HeaderField.make("Auto-Submitted", auto_submitted),
            HeaderField.make("From", sender),
            HeaderField.make("To", to),
        ]

    def references(self) -> list[HeaderField]:
        found = references(Message.parse(self.item.content))
        return [HeaderField.make("References", found)] if found else []

    def mime_fields(self) -> list[HeaderField]:
        kind = f"multipart/report; report-type=delivery-status; boundary={self.boundary}"
        return [
            *self.references(),
            HeaderField.make("Content-Type", kind),
            HeaderField.make("MIME-Version", "1.0"),
        ]

    def subject(self, paragraph: str, usual: str) -> list[HeaderField]:
        """The Subject field; or those fields that a message file has for it."""
        return list(_fields_in(paragraph)) or [HeaderField.make("Subject", usual)]

    def content(
        self, fields: Sequence[HeaderField], text: str, status: str, kind: bytes, enclosed: bytes
    ) -> bytes:
        """The three parts under the header. `enclosed` has CR LF line ends."""
        boundary = b"--" + self.boundary.encode()
        parts = (
            (b"text/plain; charset=us-ascii", with_crlf(text.encode("ascii", "replace"))),
            (b"message/delivery-status", with_crlf(status.encode("ascii", "replace"))),
            (kind, enclosed),
        )
        body = b"".join(
            boundary + b"\r\nContent-type: " + kind + b"\r\n\r\n" + part + b"\r\n" for kind, part in parts
        )
        return self.message(fields, body + boundary + b"--\r\n")

    def message(self, fields: Sequence[HeaderField], body: bytes) -> bytes:
        """With the fields that every message has."""
        more = [
            HeaderField.make("Message-Id", f"<E{self.queue_id}@{self.host}>"),
            HeaderField.make("Date", header_date(self.now)),
        ]
        return bytes(Message((*fields, *more), b"\r\n", body))


def _fields_in(text: str) -> Iterable[HeaderField]:
    """The header fields in a text of the configuration; what is none is left out."""
    lines: list[str] = []
    for line in text.split("\n"):
        if line[:1] in (" ", "\t") and line.strip() and lines:
            lines[-1] += f"\r\n{line}"
        elif _FIELD.match(line):
            lines.append(line)
    for line in lines:
        octets = line.replace("\0", "").encode("latin-1", "replace")
        yield HeaderField(re.sub(rb"\r(?!\n)", b"", octets) + b"\r\n")


def references(message: Message) -> str:
    """What a message about this one refers to: what it refers to itself, and it."""
    known: list[str] = []
    before = message.first("References")
    for found in _MESSAGE_ID.findall((before if before is not None else message.first("In-Reply-To")) or ""):
        if len(known) == MOST_REFERENCES:
            del known[1]
        known.append(found)
    own = _MESSAGE_ID.match(message.first("Message-ID") or "")
    return " ".join([*known, *([own[0]] if own else [])])


def returned(item: QueueItem, style: ReportStyle) -> tuple[bytes, bytes]:
    """The kind of the third part, and the message as it goes back: with the reverse-path it had, RFC 5321 §4.4."""
    message = Message.parse(item.content)
    wants = item.envelope.returns
    has_body, is_limited = wants != "HDRS", False
    if has_body and not style.returns_body:
        has_body, is_limited = False, wants == "FULL"
    elif has_body and not _fits(item, message, style):
        has_body, is_limited = False, True
    fields = [HeaderField.make("Return-path", f"<{item.envelope.sender}>"), *message.header_fields]
    if is_limited:
        fields.append(HeaderField.make("X-Exim-DSN-Information", _ONLY_HEADER))
    if not has_body:
        return b"text/rfc822-headers", bytes(Message(tuple(fields), b"\r\n", b""))
    return b"message/rfc822", bytes(Message(tuple(fields), message.separator, message.body))


def only_header(item: QueueItem) -> bytes:
    """The header of the message, as notices that are no failure have it."""
    field = HeaderField.make("Return-path", f"<{item.envelope.sender}>")
    return bytes(Message((field, *Message.parse(item.content).header_fields), b"\r\n", b""))


def _fits(item: QueueItem, message: Message, style: ReportStyle) -> bool:
    if max((len(line) for line in item.content.split(b"\r\n")), default=0) > style.line_limit:
        return False
    most = (style.size_limit // _BUFFER + 1) * _BUFFER
    on_disk = len(item.queue_id) + 3 + len(message.body) - message.body.count(b"\r\n")
    return style.size_limit <= 0 or on_disk <= most


def folded(line: str, before: str = "") -> list[str]:
    """As Exim folds it: behind a colon, once there are 45 octets."""
    first, *others = line.split(": ")
    parts = [before + first]
    for piece in others:
        if len(parts[-1]) + (len(parts) > 1) >= 45:
            parts[-1] += ":"
            parts.append(piece)
        else:
            parts[-1] += f": {piece}"
    return [part[i : i + LONGEST_LINE] for part in parts for i in range(0, max(len(part), 1), LONGEST_LINE)]


def printable(text: str) -> str:
    """What another host said, as a field may hold it."""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return shown if len(shown) <= LONGEST_DIAGNOSTIC else f"{shown[:LONGEST_DIAGNOSTIC]}[truncated]"


def envelope_identifier(item: QueueItem) -> str:
    """ENVID, if the sender gave one: in xtext, as it came."""
    given = item.envelope.identifier
    return f"Original-Envelope-ID: {given}\n" if given and given.isprintable() else ""


def status_block(recipient: Mailbox, action: str, status: str, original: str, more: Sequence[str]) -> str:
    lines = [f"Original-Recipient: {original}"] if original and original.isprintable() else []
    lines += [f"Action: {action}", f"Final-Recipient: rfc822;{recipient}", f"Status: {status}", *more]
    return "\n".join(lines) + "\n"
