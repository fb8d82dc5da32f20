"""Odd dates: what was understood, and what was odd."""

from __future__ import annotations

import pytest

from labkit.headers.dates import read_date


@pytest.mark.parametrize(
    "text, instant, odd, because",
    [
        ("Tue, 12 Mar 2024 10:00:00 +0100", "2024-03-12 09:00:00", "", "as RFC 5322 has it"),
        ("12 Mar 2024 10:00 -0730", "2024-03-12 17:30:00", "", "no day's name, no seconds"),
        ("Tue, 12 (a (b) c) Mar 2024 10:00:00 +0000 (UTC)", "2024-03-12 10:00:00", "", "comments, nested"),
        ("Mon, 12 Mar 2024 10:00:00 +0000", "2024-03-12 10:00:00", "was a Tuesday", "the wrong day's name"),
        ("Tue, 12 Mar 2024 10:00:00 -0000", "2024-03-12 10:00:00", "-0000", "RFC 5322 §3.3"),
        ("Tue, 12 Mar 2024 10:00:00", "2024-03-12 10:00:00?", "no zone", "nobody knows where"),
        ("12 Mar 24 10:00:00 EST", "2024-03-12 15:00:00", "two digits", "RFC 5322 §4.3: 2024"),
        ("12 Mar 99 10:00:00 GMT", "1999-03-12 10:00:00", "two digits", "RFC 5322 §4.3: 1999"),
        ("12 Mar 124 10:00:00 GMT", "2024-03-12 10:00:00", "three digits", "RFC 5322 §4.3: 1900 + 124"),
        ("12 Mar 2024 10:00:00 A", "2024-03-12 10:00:00?", "says nothing", "military letters: RFC 5322 §4.3"),
        ("12 Mar 2024 10:00:00 CEST", "2024-03-12 08:00:00", "+0200", "no zone of RFC 5322, but known"),
        ("12 Mar 2024 10:00:00 XYZ", "2024-03-12 10:00:00?", "says nothing", "an unknown zone is -0000"),
        ("12 Mar 2024 10:00:00 GMT+0300", "2024-03-12 07:00:00", "GMT+0300", "both"),
        ("Tue Mar 12 10:00:00 2024", "2024-03-12 10:00:00?", "order", "asctime"),
        ("Tue Mar 12 10:00:00 CET 2024", "2024-03-12 09:00:00", "order", "the date of Unix"),
        ("2024-03-12T10:00:00Z", "2024-03-12 10:00:00", "order", "RFC 3339"),
        ("2024-03-12 10:00:00.5 +0000 UTC m=+0.5", "2024-03-12 10:00:00", "order", "Go"),
        ("Tuesday, March 12, 2024 1:00 PM +0000", "2024-03-12 13:00:00", "twelve", "a date for people"),
        ("12 Mar 2024 23:59:60 +0000", "2024-03-13 00:00:00", "leap second", "RFC 5322 §3.3 allows 60"),
        ("31 Feb 2024 10:00:00 +0000", "", "no such day", "it does not exist"),
        ("12 Mar 2024 25:00:00 +0000", "", "no such day or hour", "nor that hour"),
        ("12 Foo 2024 10:00:00 +0000", "", "no month Foo", "nor that month"),
        ("12 Mar 2024 10:00:00 +9999", "", "no zone +9999", "nor that zone"),
        ("1 Jan 0001 00:00:00 +1400", "", "calendars", "before the first instant"),
        ("12 Mar 99999 10:00:00 +0000", "", "no such day", "after the last one"),
        ("12 Mar 2024 10:00:00 +2300", "2024-03-11 11:00:00", "no place on earth", "a zone that can be computed"),
        ("soon", "", "not a date", ""),
        ("", "", "no date", ""),
        ("(((((", "", "no date", "a comment without end"),
    ],
)  # fmt: skip
def test_date(text: str, instant: str, odd: str, because: str) -> None:
    date = read_date(text)
    shown = (
        "" if date.instant is None else f"{date.instant:%Y-%m-%d %H:%M:%S}{'' if date.is_certain else '?'}"
    )
    assert shown == instant, because
    assert odd in "; ".join(date.oddities) and bool(odd) == bool(date.oddities), because
