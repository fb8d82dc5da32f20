"""The characters of texts, and lists made of texts, as Exim's expansions make them.

STANDARDS  Exim specification, section "Changing list separators"; `octets` are latin-1
READ NEXT  operators.py
"""

from __future__ import annotations

import string
from collections.abc import Iterable

_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def upper(text: str) -> str:
    """ASCII only: `é` is two octets to Exim, not a letter."""
    return text.translate(_UPPER)


def lower(text: str) -> str:
    return text.lower() if text.isascii() else text.translate(_LOWER)


def octets(text: str) -> bytes:
    """What Exim holds in memory. Anything outside latin-1 cannot be an octet and becomes a question mark."""
    return text.encode("latin-1", "replace")


def joined_list(separator: str, items: Iterable[str]) -> str:
    """A list of these items: separators inside are doubled, a blank keeps an item apart from its separator."""
    text = ""
    for number, item in enumerate(items):
        if number:
            text += separator
            if not item or item.startswith(separator):
                text += " "
        text += item.replace(separator, separator * 2)
    return text
