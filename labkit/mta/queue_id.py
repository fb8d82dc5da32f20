"""Queue ids in Exim's form: `1xVGdp-0000LT-0M`, time and process in base 62.

STANDARDS  Exim specification, chapter "How Exim receives and delivers mail", "Message identification" (before 4.97)
READ NEXT  state.py
"""

from __future__ import annotations

from datetime import datetime

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def base62(number: int, width: int) -> str:
    """`number` in base 62, `width` digits wide (higher digits are dropped)."""
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def queue_id(now: datetime, process: int) -> str:
    """The id of a message that `process` receives at `now`; the last part counts fractions of the second."""
    fraction = now.microsecond // 500
    return f"{base62(int(now.timestamp()), 6)}-{base62(process, 6)}-{base62(fraction, 2)}"
