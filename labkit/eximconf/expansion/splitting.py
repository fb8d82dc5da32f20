"""Cut a list into its items. There is one way to do that, for texts and for lists that are matched.

LIKE EXIM  blanks around an item go; a doubled separator is one inside an item; a separator at the end starts no item;
           `<` with a punctuation or control character in front chooses another separator, and a control character
           cannot be doubled; a blank behind a backslash stays.
STANDARDS  Exim specification, section "Changing list separators"
READ NEXT  texts.py
"""

from __future__ import annotations

import re
import string
from functools import lru_cache

from labkit.eximconf.blanks import BLANKS

_PUNCTUATION = frozenset(string.punctuation)
_CHOICES = _PUNCTUATION | frozenset(map(chr, range(1, 32))) | {"\x7f"}


def separator_of(text: str, usual: str = ":") -> tuple[str, str]:
    """The separator of a list, and the list without its choice of a separator."""
    body = text.lstrip(BLANKS)
    if len(body) > 1 and body[0] == "<" and body[1] in _CHOICES:
        return body[1], body[2:]
    return usual, body


@lru_cache(maxsize=512)
def split_list(text: str, usual: str = ":") -> tuple[str, ...]:
    """The items of a list, whose separator is `usual` if it chooses no other."""
    separator, body = separator_of(text, usual)
    if separator in _PUNCTUATION and separator * 2 in body:
        return split_at(body, separator)
    blanks = BLANKS.replace(separator, "")
    found = body.split(separator)
    if not found[-1].strip(blanks):
        found.pop()
    return tuple([_trimmed(item, blanks) if "\\" in item else item.strip(blanks) for item in found])


@lru_cache(maxsize=512)
def split_at(body: str, separator: str) -> tuple[str, ...]:
    """The items of a text that chooses no separator of its own: options behind slashes, numbers between commas."""
    items, position, end = [], 0, len(body.rstrip(BLANKS))
    item = _item_with_doubled(separator)
    while position < end:  # a separator at the end starts no item
        found = item.match(body, position)
        assert found is not None, "every text begins with an item"
        items.append(_trimmed(found[1], BLANKS).replace(separator * 2, separator))
        position = found.end()
    return tuple(items)


@lru_cache(maxsize=64)
def _item_with_doubled(separator: str) -> re.Pattern[str]:
    one = re.escape(separator)
    return re.compile(f"[{BLANKS}]*((?:[^{one}]+|{one}{one})*){one}?")


def _trimmed(item: str, blanks: str) -> str:
    """Without the blanks around it, but with one that stands behind a backslash."""
    bare = item.lstrip(blanks)
    short = bare.rstrip(BLANKS)
    if short.endswith("\\") and len(short) < len(bare):
        return bare[: len(short) + 1]
    return short
