"""Header fields put into a message and taken out of it.

SAFE       `fields_of` makes no more than one field of a text, whoever wrote it
STANDARDS  RFC 5322 §3.6.8 (field names), §4.5 (blanks before the colon)
READ NEXT  reply.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from labkit.mail.message import CRLF, HeaderField, Message

_FIELD = re.compile(r"[!-9;-~]+[ \t]*:")  # RFC 5322 §3.6.8; blanks before the colon: §4.5


def with_fields(message: Message, fields: Iterable[HeaderField]) -> Message:
    """The same message with more fields at the end of its header."""
    fields = tuple(fields)
    if not fields:
        return message
    separator = message.separator or (CRLF if message.body else b"")
    return replace(message, header_fields=(*message.header_fields, *fields), separator=separator)


def without(message: Message, names: Iterable[str]) -> Message:
    """The same message without the fields of these names."""
    unwanted = {name.lower() for name in names}
    kept = tuple(field for field in message.header_fields if field.name.lower() not in unwanted)
    return replace(message, header_fields=kept)


def fields_of(text: str) -> tuple[HeaderField, ...]:
    """One field (or several, one to the eye of whoever reads it later) as mail has it.

    SAFE: a text may come from a stranger's header. No bare CR, LF or NUL of his is sent on, and what is no field of its
    own becomes part of the one above: neither an empty line nor any other ends the header.
    """
    lines = [line.replace("\r", " ").rstrip(" \t") for line in text.replace("\0", " ").split("\n")]
    lines = [line for line in lines if line]
    if not lines or not _FIELD.match(lines[0]):
        return ()
    folded = [line if line[0] in " \t" or _FIELD.match(line) else f"\t{line}" for line in lines]
    return (HeaderField("\r\n".join(folded).encode("latin-1", "replace") + CRLF),)
