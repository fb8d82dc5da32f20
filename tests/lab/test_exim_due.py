"""When a queue run of a real Exim is worth while."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from labkit.lab.exim_due import PutOff, cutoffs, read_hints, warnings
from labkit.mail.envelope import Envelope
from labkit.queue.due import LONGEST, next_due
from labkit.queue.item import QueueItem

NOON = datetime(2026, 9, 7, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
DUMP = """\
  T:mx2.st2.test:203.0.113.2:203.0.113.2 111 77 Connection refused
07-Sep-2026 09:00:00  07-Sep-2026 11:30:00  07-Sep-2026 12:30:00 *
  R:bob@st2.test -44 13060 SMTP error from remote mail server
07-Sep-2026 09:00:00  07-Sep-2026 11:30:00  07-Sep-2026 11:45:00
"""


def retry_times(dump: str) -> list[datetime]:
    return [hint.attempt.next_try for hint in read_hints(dump).values()]


def test_the_third_time_of_a_hint_is_the_next_try() -> None:
    assert retry_times(DUMP) == [NOON + HOUR / 2, NOON - HOUR / 4]
    assert retry_times("") == []
    host, address = read_hints(DUMP).values()
    assert (host.attempt.has_expired, host.text, host.errno, host.more) == (
        True,
        "Connection refused",
        111,
        77,
    )
    assert (address.attempt.has_expired, address.errno) == (False, -44)


def test_ages_at_which_something_happens() -> None:
    printed = "delay_warning = 9d\nbegin retry\n  *  *  F,2h,15m; G,16h,1h,1.5; F,4d12h,6h\nbegin rewrite\n * F,9d,1h\n"
    assert cutoffs(printed) == [2 * HOUR, 16 * HOUR, 108 * HOUR]
    assert cutoffs("primary_hostname = a.test\n") == []
    assert warnings("1d", 60 * HOUR) == [24 * HOUR, 48 * HOUR, 72 * HOUR], "again after the last interval"
    assert warnings("4h:8h", 13 * HOUR) == [4 * HOUR, 8 * HOUR, 12 * HOUR, 16 * HOUR]
    assert warnings("", HOUR) == warnings("0s", HOUR) == [], "no warnings"


def test_the_next_instant_that_can_change_anything() -> None:
    item = QueueItem("1xVGdp-0000LT-0M", Envelope.of("a@a.test", "b@b.test"), b"\r\n", NOON - 3 * HOUR)
    assert next_due([item], retry_times(DUMP), [], NOON) == NOON + HOUR / 2, "what is past is no appointment"
    assert next_due([item], retry_times(DUMP), [3.25 * HOUR], NOON) == NOON + HOUR / 4, (
        "a message grows too old"
    )
    assert next_due([item], [], [HOUR], NOON) == NOON + LONGEST, "whatever was overlooked"


@pytest.mark.parametrize(
    "recipient, host, at, errno, words, is_kept, why",
    [
        (
            "ann@far.test",
            "MX2.st2.test",
            NOON - HOUR / 2,
            111,
            "Connection refused",
            True,
            "the hint of the host",
        ),
        (
            "ann@far.test",
            "mx3.st2.test",
            NOON - HOUR / 2,
            -25,
            "failed to expand headers_add",
            False,
            "of another host",
        ),
        ("ann@far.test", "", NOON - HOUR / 2, -23, "domain is held", False, "of another domain"),
        ("Bob@st2.test", "", NOON - HOUR / 2, -44, "SMTP error", True, "the hint of the address"),
        ("bob@st2.test", "", NOON, -23, "domain is held", False, "the hint is older"),
        ("ann@far.test", "", NOON - HOUR / 2, -52, "retry time not reached", True, "its hint was looked at"),
        ("ann@far.test", "", NOON - HOUR / 2, -53, "Retry time not yet reached", True, "so was this"),
        (
            "ann@far.test",
            "",
            NOON - HOUR / 2,
            -54,
            "retry time not reached for any host for 'far.test'",
            True,
            "and this",
        ),
        (
            "ann@far.test",
            "",
            NOON - HOUR / 2,
            -54,
            "all host address lookups for 'far.test' failed",
            False,
            "no host, no hint",
        ),
    ],
)
def test_what_waits_without_a_hint(
    recipient: str, host: str, at: datetime, errno: int, words: str, is_kept: bool, why: str
) -> None:
    put_off = PutOff("1xVGdp-0000LT-0M", recipient, host, errno, words, at)
    assert put_off.is_kept_by(read_hints(DUMP)) is is_kept, why
