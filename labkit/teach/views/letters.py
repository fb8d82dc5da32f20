"""Views of messages: the message as it stands, and its envelope beside its header.

STANDARDS  RFC 5322 §3.6 (fields), RFC 5321 §2.3.1 (envelope and content), §4.4 (trace fields)
READ NEXT  places.py
"""

from __future__ import annotations

from labkit.headers.catalogue import entry_of
from labkit.lab.laptop import MailObject
from labkit.mail.message import HeaderField, Message
from labkit.teach.markup import Markup, clip, join, tag
from labkit.teach.show import shows
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

LONGEST_BODY = 2000


def _explained(field: HeaderField) -> tuple[str, str]:
    entry = entry_of(field.name)
    return entry.writer.value, entry.words[0].lower() + entry.words[1:].rstrip(".")


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
