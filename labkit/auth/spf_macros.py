"""SPF's macros: `%{ir}.%{v}.%{d2}` read, and the value of one letter transformed.

WHAT       `parse_macro_string` cuts a text into literals and macros; `transformed` splits, turns round and shortens a
           value as a macro wishes. Which value stands behind a letter is decided in spf_evaluation.py.
RULES      a "%" that starts no macro is an error in the whole record; c, r and t stand in explanations only;
           an upper-case letter means: the same, URL-escaped.
STANDARDS  RFC 7208 §7 (§7.1 syntax, §7.3 what the parts do)
READ NEXT  spf_record.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

IN_NAMES = "slodiphv"
IN_EXPLANATIONS = IN_NAMES + "crt"
AS_THEY_STAND = {"%": "%", "_": " ", "-": "%20"}

_MACRO = re.compile(r"%(?:\{([A-Za-z])([0-9]*)([rR]?)([.\-+,/_=]*)\}|([%_-]))")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_MOST_DIGITS = 4  # no name has 10,000 labels: a longer number keeps all parts


class BadTerm(ValueError):
    """A term that breaks the grammar. `source` is the section that says so."""

    def __init__(self, words: str, source: str) -> None:
        super().__init__(words)
        self.source = source


@dataclass(frozen=True, slots=True)
class Macro:
    """`%{d2r-}`: letter d, the 2 right-most parts, reversed, split at "-". `text` is how it was written.

    `%%`, `%_` and `%-` have their sign as letter. `keeps` is None where all parts are kept.
    """

    text: str
    letter: str
    keeps: int | None = None
    is_reversed: bool = False
    delimiters: str = ""
    is_escaped: bool = False


MacroString = tuple["str | Macro", ...]


def parse_macro_string(text: str, letters: str = IN_NAMES) -> MacroString:
    """Cut `text` into literals and macros. Raises BadTerm where the grammar is broken."""
    parts: list[str | Macro] = []
    position = 0
    while (start := text.find("%", position)) >= 0:
        if start > position:
            parts.append(text[position:start])
        found = _MACRO.match(text, start)
        if found is None:
            raise BadTerm(f"the '%' in {shown(text)} starts no macro", "RFC 7208 §7.1")
        parts.append(_macro(found, letters))
        position = found.end()
    if position < len(text):
        parts.append(text[position:])
    return tuple(parts)


def _macro(found: re.Match[str], letters: str) -> Macro:
    letter, digits, turned, delimiters, sign = found.groups()
    if sign:
        return Macro(found[0], sign)
    if letter.lower() not in letters:
        where = "only in explanations" if letter.lower() in IN_EXPLANATIONS else "nowhere"
        raise BadTerm(f"the macro letter {letter!r} is allowed {where}", "RFC 7208 §7.2")
    digits = digits.lstrip("0") if digits.strip("0") else digits
    if digits.startswith("0"):
        raise BadTerm(f"{found[0]} would keep no part at all", "RFC 7208 §7.3")
    keeps = int(digits) if 0 < len(digits) <= _MOST_DIGITS else None
    return Macro(found[0], letter.lower(), keeps, bool(turned), delimiters, letter.isupper())


def transformed(value: str, macro: Macro) -> str:
    """`value` as the macro wants it: "a.b.c" by %{d2} is "b.c", by %{dr} "c.b.a"; escaped if it is upper-case."""
    if macro.keeps is not None or macro.is_reversed or macro.delimiters:
        parts = re.split(f"[{re.escape(macro.delimiters or '.')}]", value)
        if macro.is_reversed:
            parts.reverse()
        if macro.keeps is not None:
            parts = parts[-macro.keeps :]
        value = ".".join(parts)
    return escaped(value) if macro.is_escaped else value


def escaped(text: str) -> str:
    """URL-escaped: everything outside RFC 3986's unreserved set (RFC 7208 §7.3)."""
    octets = text.encode("utf-8", "replace")
    return "".join(chr(octet) if chr(octet) in _UNRESERVED else f"%{octet:02X}" for octet in octets)


def shown(text: str) -> str:
    """A text of a stranger inside a sentence: quoted, one line, not long."""
    return ascii(text if len(text) <= 80 else f"{text[:77]}...")
