"""Quote and escape: for header fields, patterns, SQL, and for eyes.

STANDARDS  Exim specification, chapter "String expansions", operators escape, quote, quote_…, rxquote; RFC 5321 §4.1.2
READ NEXT  hosts.py
"""

from __future__ import annotations

import re

from labkit.eximconf.expansion.outcomes import failed
from labkit.eximconf.expansion.syntax import QUERIES, REFUSED_LOOKUPS, SINGLE_KEY

_SHORT = {"\n": "\\n", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\v": "\\v"}
_ATOM = r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]"
_UNQUOTED_LOCAL = re.compile(rf"{_ATOM}(?:(?:{_ATOM}|\.)*{_ATOM})?")


def escape(text: str) -> str:
    """Octets that do not print become octal; a tab stays."""
    return re.sub(r"[^ -~\t]", lambda found: _SHORT.get(found[0]) or f"\\{ord(found[0]) & 0xFF:03o}", text)


def escape8bit(text: str) -> str:
    return re.sub(r"[\\\x7f-\U0010ffff]", lambda found: f"\\{ord(found[0]) & 0xFF:03o}", text)


def hexquote(text: str) -> str:
    return re.sub("[^!-~]", lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", text)


def quote(text: str) -> str:
    """In double quotes, unless only letters, digits, dots, hyphens and underscores are in it."""
    if re.fullmatch(r"[A-Za-z0-9_.\-]+", text):
        return text
    inside = re.sub(r'(["\\])', r"\\\1", text).replace("\n", "\\n").replace("\r", "\\r")
    return f'"{inside}"'


def quote_local_part(text: str) -> str:
    if _UNQUOTED_LOCAL.fullmatch(text):
        return text
    inside = re.sub(r'(["\\])', r"\\\1", text)
    return f'"{inside}"'


def rxquote(text: str) -> str:
    """A backslash before everything that could mean something in a regular expression."""
    return re.sub("([^A-Za-z0-9])", r"\\\1", text)


def quote_for(text: str, kind: str) -> str:
    """`${quote_sqlite:…}`: as that kind of look-up needs it."""
    name, _, option = kind.partition("_")
    if name in REFUSED_LOOKUPS:
        raise failed(f"quoting for {name} is not read by labkit")
    if name not in SINGLE_KEY and name not in QUERIES:
        raise failed(f'unknown lookup type "{name}"')
    if option:
        raise failed(f'"{option}" unrecognized after "${{quote_{name}"')
    return text.replace("'", "''") if name == "sqlite" else text
