"""Read a list of tag=value pairs, as DKIM signatures, key records, ARC fields and DMARC records are written.

WHAT       `parse_tags(text)` is strict: one wrong pair or a name that comes twice makes the whole list invalid, and
           TagSyntaxError says in words why. `parse_tags_leniently(text)` keeps what it can read and says what it left.
RULES      names and values are case-sensitive; blanks around both are no part of them; blanks inside a value stay
           (who knows that they mean nothing, as in b=, uses `without_blanks`); unknown tags are the caller's to ignore.
STANDARDS  RFC 6376 §3.2; RFC 8616 §5 (values may hold UTF-8); RFC 9989 §4.7 (a DMARC record's bad parts are left out)
SAFE       linear in the text, whatever it is
READ NEXT  dkim_key.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

WHITE = " \t\r\n"  # what folding white space is made of
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NO_VALUE = re.compile(r"[^\t\r\n -:<-~\u0080-\U0010ffff]|[\ud800-\udfff]")
_ORDINARY = bytes(octet for octet in range(33, 127)) + WHITE.encode()  # of a list in ASCII


class TagSyntaxError(ValueError):
    """The list breaks the grammar of RFC 6376 §3.2. The text says where."""


@dataclass(frozen=True, slots=True)
class TagList:
    """The pairs in their order. `ignored` are the parts that a lenient reader left out."""

    pairs: tuple[tuple[str, str], ...]
    ignored: tuple[str, ...] = ()

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of that tag, or the default. Raises nothing."""
        return next((value for tag, value in self.pairs if tag == name), default)

    def __contains__(self, name: object) -> bool:
        return any(tag == name for tag, _ in self.pairs)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)


def parse_tags(text: str) -> TagList:
    """The pairs of `text`. Raises TagSyntaxError."""
    found: dict[str, str] = {}
    is_plain = text.isascii() and not text.encode().translate(None, _ORDINARY)
    for part in _parts(text):
        name, equals, value = part.partition("=")
        name, value = name.strip(), value.strip()
        if not (is_plain and equals and name.isalpha()):  # nearly all are: the same answer, sooner
            name, value = _pair(part)
        if name in found:  # RFC 6376 §3.2: then the entire list is invalid
            raise TagSyntaxError(f"the tag {name}= comes twice")
        found[name] = value
    return TagList(tuple(found.items()))


def parse_tags_leniently(text: str) -> TagList:
    """The pairs that can be read; of a name that comes twice, the first. Never fails."""
    found: dict[str, str] = {}
    ignored: list[str] = []
    for part in _parts(text):
        try:
            name, value = _pair(part)
        except TagSyntaxError:
            ignored.append(part.strip(WHITE))
            continue
        if name in found:
            ignored.append(part.strip(WHITE))
        found.setdefault(name, value)
    return TagList(tuple(found.items()), tuple(ignored))


def without_blanks(value: str) -> str:
    """A value whose folding white space means nothing: base64, and the names of h=."""
    for blank in WHITE:
        if blank in value:
            value = value.replace(blank, "")
    return value


def _parts(text: str) -> list[str]:
    parts = text.split(";")
    if not parts[-1].strip(WHITE):  # a semicolon at the end is allowed
        parts.pop()
    return parts


def _pair(part: str) -> tuple[str, str]:
    name, equals, value = part.partition("=")
    name, value = name.strip(WHITE), value.strip(WHITE)
    if not equals:
        shown = _shown(name)
        raise TagSyntaxError(
            f"{shown} is no tag=value pair" if name else "there is nothing between two semicolons"
        )
    if _NAME.fullmatch(name) is None:
        raise TagSyntaxError(f"{_shown(name)} is no name of a tag")
    if bad := _NO_VALUE.search(value):
        raise TagSyntaxError(f"the value of {_shown(name)}= has the character {bad[0]!r}")
    return name, value


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")
