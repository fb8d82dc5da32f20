"""Change a message by hand: a field, the body, one octet; and say what was changed.

WHAT       `text_of` gives a part as text to be edited, `with_text` puts it back; an empty text takes a field out.
DECIDES    the text may begin another field or end the header: whoever edits may break what can be broken.
LIMITS     of a long body the beginning can be edited (MOST_EDITABLE octets, whole lines); the rest stays.
READ NEXT  dissector_octets.py, dissector.py
"""

from __future__ import annotations

from labkit.headers import Dissection
from labkit.mail.message import CRLF
from labkit.teach.markup import clip, visible
from labkit.teach.views.dissector_octets import as_octets, as_text

BODY = -1  # the index that means the body
MOST_EDITABLE = 20_000
LONGEST_SHOWN = 60


def place_of(dissection: Dissection, index: int, content: bytes) -> tuple[int, int]:
    """Where the part stands that can be edited. Raises ValueError for one that is not there, or is too long."""
    if index == BODY:
        end = len(content)
        if end - dissection.body_at > MOST_EDITABLE:
            end = content.rfind(CRLF, 0, dissection.body_at + MOST_EDITABLE) + len(CRLF)
        return dissection.body_at, max(end, dissection.body_at)
    if not 0 <= index < len(dissection.fields):
        raise ValueError(f"there is no field {index + 1}")
    field = dissection.fields[index]
    if field.end - field.start > MOST_EDITABLE:
        raise ValueError(f"{clip(field.name, LONGEST_SHOWN)} is too long to be edited here")
    return field.start, field.end


def text_of(dissection: Dissection, index: int, content: bytes) -> str:
    """The part as text, without the line end that closes a field."""
    start, end = place_of(dissection, index, content)
    part = content[start:end]
    return as_text(part if index == BODY else part.removesuffix(CRLF))


def with_text(dissection: Dissection, index: int, content: bytes, text: str) -> bytes:
    """The message with another text there. Raises ValueError for a text that cannot be read."""
    start, end = place_of(dissection, index, content)
    part = as_octets(text)
    if index != BODY and part:
        part = part.removesuffix(CRLF) + CRLF
    return content[:start] + part + content[end:]


def name_of(dissection: Dissection, index: int) -> str:
    return "the body" if index == BODY else visible(clip(dissection.fields[index].name, LONGEST_SHOWN))


def in_words(name: str, before: bytes, after: bytes) -> str:
    """What an edit did, by the first octets that differ."""
    if before == after:
        return f"{name}: nothing was changed"
    if not after:
        return f"{name} was taken out"
    first = next((i for i, (a, b) in enumerate(zip(before, after)) if a != b), min(len(before), len(after)))
    back = 0
    while back < min(len(before), len(after)) - first and before[-1 - back] == after[-1 - back]:
        back += 1
    was, is_now = before[first : len(before) - back], after[first : len(after) - back]
    if not was:
        return f"{name}: {_quoted(is_now)} was put in at octet {first + 1}"
    if not is_now:
        return f"{name}: {_quoted(was)} was taken out at octet {first + 1}"
    return f"{name}: at octet {first + 1}, {_quoted(was)} became {_quoted(is_now)}"


def _quoted(octets: bytes) -> str:
    shown = octets[:LONGEST_SHOWN].decode("utf-8", "backslashreplace").replace("\r\n", "\\r\\n")
    more = "…" if len(octets) > LONGEST_SHOWN else ""
    return f"“{visible(shown)}{more}”"
