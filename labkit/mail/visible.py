r"""Text from strangers, made visible: what hides, turns or erases letters stands there as an escape.

WHAT       `visible` leaves letters, blanks and line ends, and writes all else as \u202e or \x1b.
WHY        a terminal obeys control characters, and a reader believes text that U+202E (right to left) has turned.
READ NEXT  message.py
"""

from __future__ import annotations

_SPACES = " \n\t"


def visible(text: str) -> str:
    """The text with everything that is not plainly seen as an escape: \\u202e, \\x1b. Blanks and letters stay."""
    if text.isprintable():
        return text
    return "".join(c if c in _SPACES or c.isprintable() else _escape(ord(c)) for c in text)


def _escape(point: int) -> str:
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
