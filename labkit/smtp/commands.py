"""Read what a client sends: a command line, its parameters, and content on its way.

WHAT       pure functions from text and bytes to values; the machine in server.py decides what follows.
STANDARDS  RFC 5321 §4.1.1 (commands), §4.1.2 (parameters), §4.5.2 (dots)
READ NEXT  server.py
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from labkit.mail.message import Message

BLOCK = 256 * 1024  # octets whose lines are looked at together: as objects they take a multiple of that
LONGEST_HELO_NAME = 255  # RFC 5321 §4.5.3.1.2; it goes into the Received field
_LITERAL = re.compile(r"\[(IPv[46]:)?([0-9A-Fa-f:.]+)\]", re.IGNORECASE)


def split_command(text: str) -> tuple[str, str]:
    """The verb in capitals and its argument; MAIL FROM: and RCPT TO: lose these words (blanks as Exim takes them)."""
    word, _, argument = text.partition(" ")
    word, is_apart, argument = word.upper(), argument[:1] in (" ", "\t"), argument.strip(" \t")
    for verb, preposition in (("MAIL", "FROM"), ("RCPT", "TO")):
        if word == verb:  # one blank, and no more
            found = None if is_apart else re.match(rf"{preposition}\s*:", argument, re.IGNORECASE)
            return (verb, argument[found.end() :].strip(" \t")) if found else ("", text)
    return word, argument


def is_helo_name(text: str, more: str = "") -> bool:
    """Whether a client may call itself that: a domain or an address literal (RFC 5321 §4.1.1.1).

    `more` are characters that a name may have besides.
    """
    if not text or len(text) > LONGEST_HELO_NAME:
        return False
    if text.startswith("["):
        return _is_literal(text)
    return all(_is_plain(character) or character in more for character in text)


def _is_plain(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character in ".-")


def _is_literal(text: str) -> bool:
    found = _LITERAL.fullmatch(text)
    if found is None:
        return False
    try:
        address = ip_address(found[2])
    except ValueError:
        return False
    return not found[1] or address.version == int(found[1][-2])


def undo_dots(content: bytes) -> bytes:
    """Remove the dot that the client put before a line that starts with one, RFC 5321 §4.5.2."""
    if content.startswith(b"."):
        content = content[1:]
    return content.replace(b"\r\n.", b"\r\n")


def header_exceeds(content: bytes, limit: int) -> bool:
    """Whether the header fields alone are longer than `limit` octets."""
    if len(content) <= limit:
        return False
    beginning = Message.cut(content[:limit])
    return not beginning.separator and b"\n" not in beginning.body  # at most a field cut in two is left


def longest_line(content: bytes) -> int:
    """The length of the longest line of canonical content in octets, without its line end."""
    longest = begun = 0  # octets of a line that the blocks before have begun
    for start in range(0, len(content), BLOCK):
        *lines, last = content[start : start + BLOCK].split(b"\n")
        if lines:
            longest = max(longest, begun + len(lines[0]) - 1, max(map(len, lines)) - 1)
            begun = 0
        begun += len(last)
    return max(longest, begun)


def longest_header_line(content: bytes) -> int:
    """The length of the longest field of the header, folded lines together, in octets."""
    header = Message.parse(content).header_fields
    return max((len(field.raw.replace(b"\r\n", b"\n")) for field in header), default=0)
