r"""Octets as text that can be edited and comes back the same: \xNN for what cannot be seen, \\ for a backslash.

WHAT       `as_text(octets)` and `as_octets(text)`; the one undoes the other, whatever the octets are.
DECIDES    CR LF is a line end of the text; a CR or LF alone is \x0d or \x0a. UTF-8 that can be seen stays as it is.
READ NEXT  dissector_edit.py
"""

from __future__ import annotations

import re

_ESCAPED = re.compile(r"\\(?:\\|x([0-9A-Fa-f]{2}))")


def as_text(octets: bytes) -> str:
    r"""The octets to be read and edited."""
    return "\n".join(_line(part) for part in octets.split(b"\r\n"))


def _line(octets: bytes) -> str:
    text = octets.decode("utf-8", "surrogateescape")
    if "\\" not in text and text.isprintable():
        return text
    return "".join(_char(char) for char in text)


def _char(char: str) -> str:
    if char == "\\":
        return "\\\\"
    if char.isprintable() or char == "\t":
        return char
    return "".join(f"\\x{octet:02x}" for octet in char.encode("utf-8", "surrogateescape"))


def as_octets(text: str) -> bytes:
    r"""The octets that such a text stands for. Line ends become CR LF. Raises ValueError for \ before anything else."""
    return b"\r\n".join(_octets(line) for line in text.replace("\r\n", "\n").split("\n"))


def _octets(line: str) -> bytes:
    parts, at = [], 0
    while (found := line.find("\\", at)) >= 0:
        escape = _ESCAPED.match(line, found)
        if escape is None:
            raise ValueError(
                rf"a \ stands alone at {line[found : found + 8]!r}: write \\, or \x and two digits"
            )
        parts.append(_encoded(line[at:found]))
        parts.append(b"\\" if escape[1] is None else bytes([int(escape[1], 16)]))
        at = escape.end()
    return b"".join([*parts, _encoded(line[at:])])


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")
