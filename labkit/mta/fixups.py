"""Complete the header of a message from one's own people, as RFC 6409 §8 allows a submission server to.

DOES       adds Message-Id, From and Date where they are missing; takes out a Sender field that nobody vouches for;
           puts in and takes out what an ACL asked for.
LIKE EXIM  new fields stand at the end, in this order: Message-Id, From, Date, then what ACLs added
STANDARDS  Exim specification, chapter "Message processing"; RFC 6409 §8
READ NEXT  session.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

from labkit.eximconf.configuration import Options
from labkit.eximconf.rewriting.phrases import fixed_phrase
from labkit.mail.dates import header_date
from labkit.mail.fields import fields_of, with_fields, without
from labkit.mail.message import CRLF, HeaderField, Message
from labkit.smtp.acl import AddedField, Scene


def completed(
    message: Message,
    *,
    queue_id: str,
    host: str,
    sender: str,
    now: datetime,
    name: str = "",
    keeps_sender: bool = False,
    vouched: Callable[[Message], Message] = lambda message: message,
) -> Message:
    """The message as a submission server makes it complete (Exim: control = submission).

    `sender` is the reverse-path, `name` the full name that `submission/name=` gives; `vouched` adds a Sender field if
    it must, before the date is added.
    """
    resent = "Resent-" if is_resent(message) else ""
    if not keeps_sender:
        message = without(message, [f"{resent}Sender"])
    added: list[HeaderField] = []
    on_top: list[HeaderField] = []
    if message.first(f"{resent}Message-ID") is None:
        (on_top if resent else added).append(HeaderField.make(f"{resent}Message-Id", f"<E{queue_id}@{host}>"))
    if message.first(f"{resent}From") is None and sender:
        added.append(
            HeaderField.make(f"{resent}From", f"{fixed_phrase(name)} <{sender}>" if name else sender)
        )
    message, added = vouched(with_fields(message, added)), []
    if message.first(f"{resent}Date") is None:
        (on_top if resent else added).append(HeaderField.make(f"{resent}Date", header_date(now)))
    for field in on_top:
        message = message.prepend(field)
    return with_fields(message, added)


def without_traces(message: Message, main: Options) -> Message:
    """The message without what an earlier final delivery wrote on top: it says nothing true any more.

    Exim: return_path_remove, envelope_to_remove, delivery_date_remove. RFC 5321 §4.4 wants it of Return-path.
    """
    names = [name for name, option in _TRACES if main.flag(option)]
    return without(message, names)


_TRACES = (
    ("Return-path", "return_path_remove"),
    ("Envelope-to", "envelope_to_remove"),
    ("Delivery-date", "delivery_date_remove"),
)


def message_id(message: Message) -> str | None:
    """The Message-ID that the log shows: of a message that was sent again, that of the last time."""
    return message.first("Resent-Message-ID" if is_resent(message) else "Message-ID")


def is_resent(message: Message) -> bool:
    """RFC 5322 §3.6.6."""
    return any(field.raw[:7].lower() == b"resent-" for field in message.header_fields)


def as_acls_want(message: Message, scene: Scene) -> Message:
    """The same message with what ACLs have asked for until now, which is done with then."""
    effects = scene.effects
    message = changed(message, effects.added, effects.removed)
    effects.added.clear()
    effects.removed = ""
    scene.env.variables.pop("headers_added", None)
    return message


def changed(message: Message, added: Iterable[AddedField], removed: str) -> Message:
    """The same message with what ACLs took out of it and put in. `removed` are names with colons between.

    The Received field of this host is on top already. Of two fields for the start, the later one comes first; after
    the Received fields means after those that were the last when the first such field was put in.
    """
    names = [name.strip(" \t\n") for name in removed.split(":")]
    if removed:
        message = without(message, names)
    fields = list(message.header_fields)
    last: HeaderField | None = None  # behind it
    for each in added:
        (field,) = fields_of(each.text) or (None,)
        if field is None:
            continue
        if each.place == "at_end":
            fields.append(field)
        elif each.place == "at_start":
            fields.insert(0, field)
        elif each.place == "at_start_rfc":
            last = fields[_ends(fields, 0, ("received", "resent-"))]
            fields.insert(_index(fields, last) + 1, field)
        else:
            if last is None:
                first = next((n for n, other in enumerate(fields) if other.name.lower() == "received"), 0)
                last = fields[_ends(fields, first, ("received",))]
            fields.insert(_index(fields, last) + 1, field)
    if len(fields) == len(message.header_fields):
        return message
    separator = message.separator or (CRLF if message.body else b"")
    return replace(message, header_fields=tuple(fields), separator=separator)


def _ends(fields: list[HeaderField], start: int, prefixes: tuple[str, ...]) -> int:
    """The index of the last field of a run that begins behind `start`, or `start`."""
    index = start
    while index + 1 < len(fields) and fields[index + 1].name.lower().startswith(prefixes):
        index += 1
    return index


def _index(fields: list[HeaderField], field: HeaderField) -> int:
    return next(n for n, each in enumerate(fields) if each is field)
