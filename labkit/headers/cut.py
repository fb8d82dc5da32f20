"""Cut the header of a message into its fields, octet by octet.

WHAT       `cut(message)` -> Cut: the pieces with their places, the empty line, and where the body begins.
DECIDES    as mail/message.py, and so as the MTA here: the first line that is neither a field nor part of one ends the
           header. Besides, lines may end in a bare LF (a stored file), the last line in nothing at all, and a line
           "From ann@a.test Mon …" (or >From) in front belongs to an mbox file and is no field.
RULES      the pieces and the separator, joined, are the octets up to the body.
STANDARDS  RFC 5322 §2.1 (lines), §2.2 (fields), §4.5 (blanks before the colon), RFC 4155 (mbox)
READ NEXT  dissect.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:[^\n]*(?:\n(?:[ \t][^\n]*(?:\n|\Z))*|\Z)")
_FROM_LINE = re.compile(rb">*From [^\n]*(?:\n|\Z)")
_EMPTY_LINES = (b"\r\n", b"\n")


@dataclass(frozen=True, slots=True)
class Cut:
    """`pieces`: (octet where it begins, its octets). `separator`: the empty line, or nothing if there is none."""

    pieces: tuple[tuple[int, bytes], ...]
    separator: bytes
    body_at: int


def cut(message: bytes) -> Cut:
    """Never fails; linear."""
    pieces: list[tuple[int, bytes]] = []
    at = 0
    shape = _FROM_LINE if _FROM_LINE.match(message) else _FIELD
    while (found := shape.match(message, at)) is not None:
        pieces.append((at, found[0]))
        at, shape = found.end(), _FIELD
    separator = next((line for line in _EMPTY_LINES if message.startswith(line, at)), b"")
    return Cut(tuple(pieces), separator, at + len(separator))
