"""Read what a client sends: a command line, its parameters, and content on its way.

WHAT       pure functions from text and bytes to values; the machine in server.py decides what follows.
STANDARDS  RFC 5321 §4.1.1 (commands), §4.1.2 (parameters), §4.5.2 (dots)
READ NEXT  server.py
"""

from __future__ import annotations

import re

from labkit.mail.message import Message

BLOCK = 256 * 1024  # octets whose lines are looked at together: as objects they take a multiple of that
LONGEST_HELO_NAME = 255  # RFC 5321 §4.5.3.1.2; it goes into the Received field
_HELO_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Za-z:.-]+\]")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~]+))?")


def split_command(text: str) -> tuple[str, str]:
    """The verb in capitals and its argument; MAIL FROM: and RCPT TO: lose these words (blanks as Exim takes them)."""
    word, _, argument = text.partition(" ")
    word, is_apart, argument = word.upper(), argument[:1] in (" ", "\t"), argument.strip(" \t")
    for verb, preposition in (("MAIL", "FROM"), ("RCPT", "TO")):
        if word == verb:  # one blank, and no more
            found = None if is_apart else re.match(rf"{preposition}\s*:", argument, re.IGNORECASE)
            return (verb, argument[found.end() :].strip(" \t")) if found else ("", text)
    return word, argument


def is_helo_name(text: str) -> bool:
    """Whether a client may call itself that: a domain or an address literal (RFC 5321 §4.1.1.1)."""
    return len(text) <= LONGEST_HELO_NAME and ".." not in text and bool(_HELO_DOMAIN.fullmatch(text))


def read_parameters(rest: str, is_esmtp: bool) -> list[tuple[str, str]]:
    """ESMTP parameters as (NAME, value), RFC 5321 §4.1.2; what cannot be read comes back as a name."""
    found: list[tuple[str, str]] = []
    if not is_esmtp and rest.strip():
        return [(rest.strip(), "")]
    for word in rest.split():
        match = _PARAMETER.fullmatch(word)
        found.append((match[1].upper(), match[2] or "") if match else (word, ""))
    return found


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
