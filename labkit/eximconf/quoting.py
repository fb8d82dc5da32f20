"""Values in double quotes, and the backslash escapes of Exim's strings.

WHAT       `unquote` reads the value of an option, `first_word` a word of a longer text, `read_quoted` what stands
           between two quotes, `read_escape` one escape.
STANDARDS  Exim specification, chapter "The Exim run time configuration file" ("String")
READ NEXT  reader.py
"""

from __future__ import annotations

import re

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.place import ConfigurationError, Place

_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_NUMERIC = re.compile(r"[0-7]{1,3}|x[0-9A-Fa-f]{0,2}")


def unquote(value: str, place: Place) -> str:
    """A value in double quotes loses them and has its backslash escapes read; any other stays as it is."""
    if not value.startswith('"'):
        return value
    result: list[str] = []
    position = 1
    while position < len(value) and value[position] != '"':
        char = value[position]
        if char == "\\":
            char, position = read_escape(value, position)
            if char == "\0":
                raise ConfigurationError(place, "a NUL character in a quoted string", "leave the escape out")
        result.append(char)
        position += 1
    if position >= len(value):
        raise ConfigurationError(place, "missing quote at end of string value", 'end the value with "')
    if rest := value[position + 1 :].strip():
        remedy = "a comment needs a line of its own" if rest.startswith("#") else "remove them"
        raise ConfigurationError(place, f"extra characters after the quoted string: {rest}", remedy)
    return "".join(result)


def read_escape(text: str, position: int) -> tuple[str, int]:
    """Read the escape whose backslash is at `position`: its character, and the place of its last one.

    Exim's: \\n and its like, up to three octal digits, x and up to two hexadecimal ones; else the character itself.
    """
    if numeric := _NUMERIC.match(text, position + 1):
        digits = numeric[0]
        code = int(digits[1:] or "0", 16) if digits.startswith("x") else int(digits, 8)
        return chr(code & 0xFF), numeric.end() - 1
    following = text[position + 1 : position + 2]
    return _ESCAPES.get(following, following), position + 1


def read_quoted(text: str, position: int) -> tuple[str, int]:
    """What stands between the quote at `position` and the next one, and the place behind that."""
    word, position = "", position + 1
    while position < len(text) and text[position] != '"':
        char = text[position]
        if char == "\\":
            char, position = read_escape(text, position)
        word += char
        position += 1
    return word, position + 1


def first_word(text: str) -> tuple[str, str]:
    """The first word of a text, which may stand in quotes, and the rest behind the blanks that follow it."""
    text = text.lstrip(BLANKS)
    if text.startswith('"'):
        word, end = read_quoted(text, 0)
    else:
        end = next((at for at, char in enumerate(text) if char in BLANKS), len(text))
        word = text[:end]
    return word, text[end:].lstrip(BLANKS)
