"""Dates as mail writes them, whatever the locale of this machine.

STANDARDS  RFC 5322 §3.3 (Date), RFC 4155 appendix A (the From_ line of an mbox)
READ NEXT  event.py
"""

from __future__ import annotations

from datetime import datetime, timedelta

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def header_date(at: datetime) -> str:
    """As in a Date field: `Sun, 22 Nov 2026 23:06:37 +0000`."""
    zone = at.strftime("%z") or "+0000"
    return f"{_DAYS[at.weekday()]}, {at.day:02d} {_MONTHS[at.month - 1]} {at.year} {at:%H:%M:%S} {zone}"


def mbox_date(at: datetime) -> str:
    """As in the From_ line of an mbox: `Sun Nov 22 23:06:37 2026`; a small day has a zero, as Exim writes it."""
    return f"{_DAYS[at.weekday()]} {_MONTHS[at.month - 1]} {at.day:02d} {at:%H:%M:%S} {at.year}"


def log_date(at: datetime) -> str:
    """As in Exim's main log: `2026-11-22 23:06:37`."""
    return f"{at:%Y-%m-%d %H:%M:%S}"


def in_words(span: timedelta) -> str:
    """A span in words: `4 days`, `2 hours 30 minutes`, `0 seconds`."""
    seconds = int(span.total_seconds())
    parts = []
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " ".join(parts) or "0 seconds"
