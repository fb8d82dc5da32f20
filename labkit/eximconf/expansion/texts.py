"""Lists inside texts, and the characters of texts: split and join as Exim's expansions do.

LIKE EXIM  blanks around an item go; a doubled separator is one inside an item; a separator at the end starts no item;
           `<` with a punctuation or control character in front chooses another separator.
STANDARDS  Exim specification, section "Changing list separators"; `octets` are latin-1
READ NEXT  operators.py
"""

from __future__ import annotations

import string
from collections.abc import Iterable
from functools import lru_cache

from labkit.eximconf.expansion.numbers import BLANKS

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


def separator_of(text: str) -> tuple[str, str]:
    """The separator of a list, and the list without its choice of a separator."""
    body = text.lstrip(BLANKS)
    if len(body) > 1 and body[0] == "<" and (body[1] in string.punctuation or body[1] < " "):
        return body[1], body[2:]
    return ":", body


@lru_cache(maxsize=512)
def items_of(text: str) -> tuple[str, ...]:
    """The items of a list."""
    separator, body = separator_of(text)
    if separator * 2 not in body:
        found = body.split(separator)
        if not found[-1].strip(BLANKS):
            found.pop()
        return tuple([item.strip(BLANKS) for item in found])
    return tuple(_with_doubled(separator, body))


def _with_doubled(separator: str, body: str) -> Iterable[str]:
    at, item = 0, ""
    while at < len(body):
        end = body.find(separator, at)
        if end < 0:
            item += body[at:]
            break
        item += body[at:end]
        if body.startswith(separator, end + 1):
            item += separator
            at = end + 2
            continue
        yield item.strip(BLANKS)
        item, at = "", end + 1
    if item.strip(BLANKS):
        yield item.strip(BLANKS)


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
