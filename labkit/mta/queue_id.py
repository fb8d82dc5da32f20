"""Queue ids in Exim's form: `1xVGdp-0000LT-0M`, time and process in base 62.

STANDARDS  Exim specification, chapter "How Exim receives and delivers mail", "Message identification" (before 4.97)
READ NEXT  state.py
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

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


def received_at(queue_id: str) -> datetime | None:
    """When the message came, which its id tells. None: this is no id."""
    parts = queue_id.split("-")
    if len(parts) != 3 or len(parts[0]) != 6 or any(char not in _DIGITS for part in parts for char in part):
        return None
    seconds, fraction = (_number(part) for part in (parts[0], parts[2]))
    return datetime.fromtimestamp(seconds, timezone.utc) + timedelta(microseconds=fraction % 2000 * 500)


def _number(digits: str) -> int:
    number = 0
    for digit in digits:
        number = number * 62 + _DIGITS.index(digit)
    return number
