"""Read a date as mail has it, however odd, and say what was understood.

WHAT       `read_date("Tue, 12 Mar 2024 10:00:00 +0100 (CET)")` -> ReadDate with the instant in UTC.
DECIDES    a missing zone, -0000 and a zone that nobody knows are taken as UTC and marked as uncertain; old zones (EST)
           and years of two or three digits as RFC 5322 §4.3 says; a day that does not exist names no instant.
STANDARDS  RFC 5322 §3.3, §4.3; also asctime's order, and the ISO order of RFC 3339 that some programs write
SAFE       no more than 200 characters are looked at; never raises
READ NEXT  received.py
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from labkit.headers.scan import without_comments
from labkit.headers.values import ReadDate
from labkit.mail.visible import visible

LONGEST_DATE = 200
MONTHS = {
    name: n for n, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), start=1)
}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
OLD_ZONES = {"ut": 0, "utc": 0, "gmt": 0, "z": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5} | {
    "mst": -7, "mdt": -6, "pst": -8, "pdt": -7,
}  # fmt: skip
_FOREIGN_ZONES = {"wet": 0, "west": 1, "bst": 1, "cet": 1, "cest": 2, "met": 1, "mest": 2, "eet": 2, "eest": 3} | {
    "msk": 3, "sgt": 8, "hkt": 8, "jst": 9, "kst": 9, "aest": 10, "aedt": 11, "nzst": 12, "nzdt": 13,
}  # fmt: skip
_TIME = r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2})(?:[.,]\d{1,9})?)?(?:\s?(?P<half>[ap]m)\b)?"
_ZONE = r"(?:\s*(?P<zone>[+-]\s?\d{1,2}:?\d{2}(?!\d)|[a-z]{1,5}(?![a-z])(?:[+-]\d{1,2}:?(?:\d{2})?(?!\d))?))?"
_DAY = r"(?:(?P<weekday>[a-z]{3,9})\s*[,.]?\s*)?"
_MONTH = r"(?P<month>[a-z]{3,9})"
_FLAGS = re.IGNORECASE | re.ASCII
_FORMS = tuple(
    re.compile(form, _FLAGS)
    for form in (
        rf"{_DAY}(?P<day>\d{{1,2}})[\s-]{{0,9}}{_MONTH}\.?,?[\s-]{{0,9}}(?P<year>\d{{2,9}}),?\s+{_TIME}{_ZONE}",
        rf"{_DAY}{_MONTH}\s+(?P<day>\d{{1,2}})\s+{_TIME}{_ZONE}\s+(?P<year>\d{{4}})\b(?:\s*(?P<after>[+-]\d{{4}}))?",
        rf"{_DAY}{_MONTH}\s+(?P<day>\d{{1,2}}),?\s+(?P<year>\d{{4}}),?\s+{_TIME}{_ZONE}",
        rf"(?P<year>\d{{4}})-(?P<month>\d{{2}})-(?P<day>\d{{2}})[t\s]{{1,9}}{_TIME}{_ZONE}",
    )
)
_OFFSET = re.compile(r"([+-])(\d{1,2}):?(\d{2})?")


def read_date(text: str) -> ReadDate:
    """Never raises: what cannot be read has the instant None and says why."""
    written = visible(" ".join(text[: 2 * LONGEST_DATE].split()))[:LONGEST_DATE]
    plain = " ".join(without_comments(text[: 2 * LONGEST_DATE]).split())[:LONGEST_DATE]
    if not plain:
        return ReadDate(written, None, False, ("there is no date",))
    for form in _FORMS:
        found = form.match(plain)
        if found is not None:
            return _understood(written, found, plain[found.end() :].strip(" ."))
    return ReadDate(written, None, False, ("this is not a date",))


def _understood(written: str, found: re.Match[str], rest: str) -> ReadDate:
    odd: list[str] = []
    parts = found.groupdict()
    month = int(parts["month"]) if parts["month"].isdigit() else MONTHS.get(parts["month"][:3].lower(), 0)
    if not 1 <= month <= 12:
        return ReadDate(written, None, False, (f"there is no month {visible(parts['month'])}",))
    year = _year(parts["year"], odd)
    hour, minute, second = int(parts["hour"]), int(parts["minute"]), int(parts["second"] or 0)
    if parts.get("half"):
        odd.append("the hour is of twelve")
        hour = hour % 12 + 12 * (parts["half"].lower() == "pm") if 1 <= hour <= 12 else 99
    if found.re is not _FORMS[0]:
        odd.append("not in the order of RFC 5322")
    leap = second == 60
    try:
        local = datetime(year, month, int(parts["day"]), hour, minute, 59 if leap else second)
    except ValueError:
        return ReadDate(written, None, False, (*odd, "there is no such day or hour"))
    if leap:
        odd.append("a leap second")
        local += timedelta(seconds=1)
    weekday = (parts.get("weekday") or "")[:3].title()
    if weekday and not _DAYS[local.weekday()].startswith(weekday):
        odd.append(f"that day was a {_DAYS[local.weekday()]}")
    offset, is_certain = _offset((parts.get("after") or parts["zone"] or "").replace(" ", ""), odd)
    if offset is None:
        return ReadDate(written, None, False, tuple(odd))
    if rest and not _known_rest(rest):
        odd.append(f"something follows: {visible(rest)[:40]}")
    try:
        return ReadDate(written, (local - offset).replace(tzinfo=timezone.utc), is_certain, tuple(odd))
    except OverflowError:
        return ReadDate(written, None, False, (*odd, "it is beyond all calendars"))


def _known_rest(rest: str) -> bool:
    """Go's programs write a zone twice and the clock's own count; others the zone's name without its brackets."""
    return re.fullmatch(r"[A-Za-z]{1,5}(?: m=[+-][\d.]+)?|m=[+-][\d.]+", rest) is not None


def _year(digits: str, odd: list[str]) -> int:
    """RFC 5322 §4.3: two digits are 1950 to 2049, three count from 1900."""
    year = int(digits)
    if len(digits) == 2:
        odd.append("the year has two digits")
        return year + (2000 if year < 50 else 1900)
    if len(digits) == 3:
        odd.append("the year has three digits")
        return year + 1900
    return year


def _offset(zone: str, odd: list[str]) -> tuple[timedelta | None, bool]:
    """How far the zone is ahead of UTC, and whether that is certain. None: there is no such zone."""
    small = zone.lower()
    if not small:
        odd.append("no zone: taken as UTC")
        return timedelta(), False
    letters = small.rstrip("+-:0123456789")
    numbers = small[len(letters) :]
    if numbers:
        if letters:
            odd.append(f"the zone {visible(zone)} is not of RFC 5322")
        return _numbers(numbers, odd)
    if small in OLD_ZONES:
        if small not in ("gmt", "ut"):
            odd.append(f"the old zone {zone} (RFC 5322 §4.3)")
        else:
            odd.append(f"the old name {zone} for +0000 (RFC 5322 §4.3)")
        return timedelta(hours=OLD_ZONES[small]), True
    if small in _FOREIGN_ZONES:
        odd.append(f"{zone} is no zone of RFC 5322: taken as {_FOREIGN_ZONES[small]:+03d}00")
        return timedelta(hours=_FOREIGN_ZONES[small]), True
    odd.append(f"the zone {visible(zone)} says nothing: taken as UTC (RFC 5322 §4.3)")
    return timedelta(), False


def _numbers(numbers: str, odd: list[str]) -> tuple[timedelta | None, bool]:
    found = _OFFSET.fullmatch(numbers)
    if found is None:
        odd.append(f"the zone {numbers} cannot be read: taken as UTC")
        return timedelta(), False
    sign, hours, minutes = found[1], int(found[2]), int(found[3] or 0)
    if ":" in numbers or len(numbers) != 5:
        odd.append(f"the zone {numbers} is not written as four digits")
    if hours > 23 or minutes > 59:
        odd.append(f"there is no zone {numbers}")
        return None, False
    length = timedelta(hours=hours, minutes=minutes)
    if sign == "-" and not length:
        odd.append("-0000: UTC, and nothing is said of the writer's own zone (RFC 5322 §3.3)")
        return length, True
    if length > timedelta(hours=14):
        odd.append(f"no place on earth is {numbers} from UTC")
    return (length if sign == "+" else -length), True
