"""Views of messages: the message as it stands, and its envelope beside its header.

STANDARDS  RFC 5322 §3.6 (fields), RFC 5321 §2.3.1 (envelope and content), §4.4 (trace fields)
READ NEXT  places.py
"""

from __future__ import annotations

from labkit.lab.laptop import MailObject
from labkit.mail.message import HeaderField, Message
from labkit.teach.markup import Markup, clip, join, tag
from labkit.teach.show import shows
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

LONGEST_BODY = 2000

WHO_AND_WHY = {
    "return-path": ("the last MTA", "the envelope's sender, written down at final delivery"),
    "envelope-to": ("the last MTA", "the envelope's recipient, written down at final delivery"),
    "delivery-date": ("the last MTA", "when it went into the mailbox"),
    "received": (
        "an MTA on the way",
        "one hop; each MTA puts its own on top, so the oldest is at the bottom",
    ),
    "from": ("the author", "who the reader sees; nothing in SMTP checks it"),
    "to": ("the author", "who the reader sees; the envelope decides who gets it"),
    "cc": ("the author", "who the reader sees"),
    "subject": ("the author", "free text"),
    "date": ("the author's machine", "when it was written, by that machine's clock"),
    "message-id": ("the author's machine", "a name for this message, to find it in logs"),
    "references": ("the author's machine", "the messages this one answers"),
    "auto-submitted": ("a program", "no person wrote this: do not answer it automatically"),
    "x-failed-recipients": ("the MTA that gave up", "for whom delivery failed"),
    "mime-version": ("the author's machine", "the body is described by the next fields"),
    "content-type": ("the author's machine", "what the body is"),
    "content-transfer-encoding": ("the author's machine", "how the body's octets are written"),
}
_UNKNOWN = ("somebody", "not explained here")


def _explained(field: HeaderField) -> tuple[str, str]:
    return WHO_AND_WHY.get(field.name.lower(), _UNKNOWN)


def _raw(field: HeaderField) -> str:
    text = field.raw.decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\n")
    return text.replace("\n\t", "\n    ")


@shows(Message)
class MessageView(View):
    """A message: each header field with who wrote it and why, then the body."""

    def __init__(self, message: Message, title: str = "The message") -> None:
        self.message = message
        self.title = title

    @property
    def _body(self) -> str:
        return clip(self.message.body.decode("utf-8", "replace").replace("\r\n", "\n"), LONGEST_BODY)

    def html(self) -> Markup:
        rows = [(_raw(field), *_explained(field)) for field in self.message.header_fields]
        return join(
            table(("header field", "written by", "says"), rows, self.title, code=[0]),
            tag("p", "Then an empty line, then the body:"),
            tag("pre", self._body),
        )

    def text(self) -> str:
        header = "\n".join(_raw(field) for field in self.message.header_fields)
        return f"{self.title}\n\n{header}\n\n{self._body}".rstrip("\n")


@shows(MailObject)
class EnvelopeView(View):
    """The envelope beside the header: two statements about sender and recipient that nobody compares."""

    def __init__(self, mail_object: MailObject) -> None:
        envelope, message = mail_object.envelope, mail_object.message
        recipients = "\n".join(map(str, envelope.forward_paths))
        self.rows = [
            ("from", envelope.sender or "<> (nobody: a report)", message.first("From") or "(no From: field)"),
            ("to", recipients, message.first("To") or "(no To: field)"),
            ("said in", "MAIL FROM and RCPT TO", "the content, after DATA"),
            ("used by", "every MTA on the way", "the reader's mail program"),
        ]
        self.head = ("", "envelope", "header")

    def html(self) -> Markup:
        return table(self.head, self.rows, "Envelope and header", code=[1, 2])

    def text(self) -> str:
        return text_table(self.head, self.rows, "Envelope and header")
