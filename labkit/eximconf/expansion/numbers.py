"""Exim's grammars of numbers and times: each place has its own.

WHAT       `compared` for < = >, `truth` for bool and bool_lax, `positive` for lengths, `interval` for times.
LIKE EXIM  comparisons take a sign, blanks around, K M G, and decimal digits only; nothing at all is 0.
STANDARDS  Exim specification, chapter "String expansions"; section "Time intervals" for 1w2d3h4m5s
READ NEXT  arithmetic.py
"""

from __future__ import annotations

import re

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion.outcomes import failed

_COMPARED = re.compile(rf"[{BLANKS}]*([+-]?[0-9]+)([kKmMgG]?)([{BLANKS}]*)(.*)", re.DOTALL)
_INTERVAL = re.compile("(?:[0-9]+[wdhms])+")
_AMOUNT = re.compile("([0-9]+)([wdhms])")
_SHIFT = {"": 0, "k": 10, "m": 20, "g": 30}
_LENGTHS = (604800, 86400, 3600, 60, 1)
LARGEST = 2**63 - 1


def compared(text: str) -> int:
    """A number as the numeric conditions and listextract read it."""
    if len(text) < 18 and text.isascii() and text.isdigit():
        return int(text)
    if not text.strip(BLANKS):
        return 0
    found = _COMPARED.fullmatch(text)
    if found is None:
        raise failed(f'integer expected but "{text}" found')
    if found[4]:
        raise failed(f'invalid integer "{text}"')
    value = _digits(found[1])
    if abs(value) > LARGEST or abs(value) << _SHIFT[found[2].lower()] > LARGEST:
        raise failed(f'absolute value of integer "{text}" is too large (overflow)')
    return value << _SHIFT[found[2].lower()]


def _digits(text: str) -> int:
    """Python refuses thousands of digits; these here are too large anyway."""
    bare = text.lstrip("+-").lstrip("0")
    return (LARGEST + 1) if len(bare) > 25 else int(text)


def is_boolean(text: str) -> bool:
    word = text.strip(BLANKS).lower()
    return word in ("", "true", "false", "yes", "no") or re.fullmatch(r"-?[0-9]+", word) is not None


def truth(text: str) -> bool:
    """bool{…}: a word of four, or a number."""
    if not is_boolean(text):
        raise failed(f'unrecognised boolean value "{text.strip(BLANKS)}"')
    word = text.strip(BLANKS).lower()
    return word in ("true", "yes") or word.lstrip("-0").isdigit()


def truth_lax(text: str) -> bool:
    """bool_lax{…}: what ACLs and routers think of a condition."""
    return text.strip(BLANKS).lower() not in ("", "0", "no", "false")


def positive(text: str, item: str) -> int:
    """The length or the modulus of hash, nhash, length, substr."""
    if not re.fullmatch("[0-9]{1,9}", text):
        raise failed(f'"{text}" is not a positive number (in "{item}" expansion)')
    return int(text)


def interval(text: str) -> int | None:
    """Seconds of 1w2d3h4m5s; None: it is not written so."""
    if not _INTERVAL.fullmatch(text):
        return None
    units = dict(zip("wdhms", _LENGTHS))
    return min(LARGEST, sum(_digits(amount) * units[unit] for amount, unit in _AMOUNT.findall(text)))


def shown_interval(seconds: int) -> str:
    """The other way round."""
    text = ""
    for length, unit in zip(_LENGTHS, "wdhms"):
        amount, seconds = divmod(seconds, length)
        if amount:
            text += f"{amount}{unit}"
    return text or "0s"
