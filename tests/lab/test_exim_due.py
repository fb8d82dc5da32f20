"""When a queue run of a real Exim is worth while."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from labkit.lab.exim_due import cutoffs, read_hints, warnings
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
