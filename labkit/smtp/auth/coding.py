"""What the lines of an AUTH exchange carry: octets in base64, several texts in one line, and xtext.

OCTETS     inside, a text is octets, as latin-1, as in expansions.
STANDARDS  RFC 4954 §4 (base64; "=" is an empty initial response), RFC 4616 §2 (NUL between texts), RFC 3461 §4 (xtext)
LIKE EXIM  blanks inside base64 do not count
READ NEXT  server.py
"""

from __future__ import annotations

import base64
import binascii
import re

EMPTY = "="  # an initial response that is there, and empty
MOST_TEXTS = 20  # of one exchange; Exim counts so far
_XTEXT = re.compile(r"(?:[!-*,-<>-\x7f]|\+[0-9A-Fa-f]{2})*")
_CODED = re.compile(r"\+([0-9A-Fa-f]{2})")
_BLANKS = dict.fromkeys(map(ord, " \t\n\v\f\r"))


class NotBase64(ValueError):
    """The line is no base64."""


def encode(text: str) -> str:
    return base64.b64encode(text.encode("latin-1", "replace")).decode("ascii")


def decode(line: str) -> str:
    """The octets of a line. Raises NotBase64."""
    try:
        return base64.b64decode(line.translate(_BLANKS), validate=True).decode("latin-1")
    except (binascii.Error, ValueError) as problem:
        raise NotBase64(str(problem)) from None


def initial_texts(data: str) -> list[str]:
    """The texts that came with AUTH itself. Raises NotBase64."""
    if data == EMPTY:
        return [""]
    clear = decode(data)
    return _cut(clear) if clear else []


def texts(line: str) -> list[str]:
    """The texts of an answer, at least one. Raises NotBase64."""
    return _cut(decode(line))


def _cut(clear: str) -> list[str]:
    return clear.removesuffix("\0").split("\0")


def undo_xtext(value: str) -> str | None:
    """What stands after AUTH= on MAIL; None: that is no xtext."""
    if not _XTEXT.fullmatch(value):
        return None
    return _CODED.sub(lambda found: chr(int(found[1], 16)), value)
