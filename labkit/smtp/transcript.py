"""What was said, line by line, with the state both sides were in.

WHAT       a `Line` of an SMTP dialogue; the machines report each to a listener.
WHY HERE   only the machines know where a line ends and which state it led to.
READ NEXT  server.py
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a conversation. `speaker` is "C" or "S"; `state` is where the reporting side stands after it.

    Content is not repeated: the speaker's line says how many octets went by.
    """

    speaker: str
    text: str
    state: str


_ODD = re.compile(r"[^ -~]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\b": "\\b", "\v": "\\v", "\f": "\\f", "\t": "\\t"}

_BLANK = r"(?:\s|\\x(?:0[9a-d]|a0|00))"  # a tab stands there as `readable` writes it
_SECRET = re.compile(rf"({_BLANK}*auth{_BLANK}+[^\s\\]+{_BLANK}+)(.+)", re.IGNORECASE | re.DOTALL)

Listener = Callable[[Line], None]


def readable(octets: bytes) -> str:
    """Bytes as text for people: what cannot be printed stands as \\x escapes, nothing is hidden."""
    text = octets.decode("latin-1")
    if text.isascii() and text.isprintable():
        return text
    return "".join(chr(octet) if 32 <= octet < 127 else f"\\x{octet:02x}" for octet in octets)


def without_secret(command: str) -> str:
    """A command as people may see it: what follows the mechanism of AUTH may be a password."""
    found = _SECRET.fullmatch(command)
    return command if found is None else found[1] + "*" * len(found[2])


def printed(text: str) -> str:
    """Octets (latin-1) as Exim's log shows them: nothing but printable ASCII."""
    return _ODD.sub(lambda found: _NAMED.get(found[0], f"\\{ord(found[0]):03o}"), text)
