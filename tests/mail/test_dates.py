"""Dates and spans, as mail and Exim write them."""

from __future__ import annotations

import email.utils
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.mail.dates import header_date, in_words, log_date, mbox_date

LATE = datetime(2026, 11, 22, 23, 6, 37, 999_999, tzinfo=timezone.utc)
EARLY = datetime(2024, 2, 29, 1, 2, 3, tzinfo=timezone(timedelta(hours=3, minutes=30)))


@pytest.mark.parametrize(
    "written, expected, because",
    [
        (header_date(LATE), "Sun, 22 Nov 2026 23:06:37 +0000", "RFC 5322 §3.3"),
        (header_date(EARLY), "Thu, 29 Feb 2024 01:02:03 +0330", "with its zone"),
        (header_date(LATE.replace(tzinfo=None)), "Sun, 22 Nov 2026 23:06:37 +0000", "no zone means UTC"),
        (mbox_date(LATE), "Sun Nov 22 23:06:37 2026", "RFC 4155, appendix A"),
        (
            mbox_date(datetime(2026, 11, 2, tzinfo=timezone.utc)),
            "Mon Nov 02 00:00:00 2026",
            "Exim writes a zero where ctime has a blank",
        ),
        (log_date(LATE), "2026-11-22 23:06:37", "Exim's main log"),
    ],
)
def test_a_date(written: str, expected: str, because: str) -> None:
    assert written == expected, because


@pytest.mark.parametrize(
    "span, words",
    [
        (timedelta(), "0 seconds"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(days=4), "4 days"),
        (timedelta(hours=2, minutes=30), "2 hours 30 minutes"),
        (
            timedelta(days=1, hours=1, minutes=1, seconds=1, milliseconds=999),
            "1 day 1 hour 1 minute 1 second",
        ),
    ],
)
def test_a_span(span: timedelta, words: str) -> None:
    assert in_words(span) == words


zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@settings(deadline=None)
@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30), timezones=zones))
def test_the_standard_library_reads_what_we_write(at: datetime) -> None:
    assert email.utils.parsedate_to_datetime(header_date(at)) == at.replace(microsecond=0)
