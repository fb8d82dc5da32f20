"""Hints: what a host remembers of failures, for how long, and that a damaged file does no harm."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.eximconf.reader import LogicalLine, Place
from labkit.mail.address import Mailbox
from labkit.queue.hints import Hint, Hints, address_key, host_key, mailbox_key
from labkit.queue.schedule import Attempt, read_rules

START = datetime(2026, 9, 7, 9, 0, tzinfo=timezone.utc)
RULE = read_rules([LogicalLine("* * F,2h,15m", Place("exim.conf", 1))])[0]
KEY = host_key("mx.b.test", "192.0.2.1")


def after(**span: float) -> datetime:
    return START + timedelta(**span)


def is_due(hints: Hints, key: str, at: datetime) -> bool:
    hint = hints.rows.get(key)
    return hint is None or hint.attempt.next_try <= at


def has_run_out(hints: Hints, key: str) -> bool:
    hint = hints.rows.get(key)
    return hint is not None and hint.attempt.has_expired


def test_a_host_that_never_failed_is_due() -> None:
    hints = Hints()
    assert is_due(hints, KEY, START)
    assert not has_run_out(hints, KEY)
    hints.forget(KEY)


@pytest.mark.parametrize(
    "at, due, because",
    [
        (after(minutes=14, seconds=59), False, "not yet"),
        (after(minutes=15), True, "at the very instant"),
        (after(days=1), True, "later"),
    ],
)
def test_due(at: datetime, due: bool, because: str) -> None:
    hints = Hints()
    assert hints.note_failure(KEY, RULE, "Connection refused", START).next_try == after(minutes=15)
    assert is_due(hints, KEY, at) is due, because
    assert is_due(hints, host_key("mx.b.test", "192.0.2.2"), START), (
        "another address of the host is another matter"
    )


def test_success_wipes_it() -> None:
    hints = Hints()
    hints.note_failure(KEY, RULE, "Connection refused", START)
    hints.forget(KEY)
    assert is_due(hints, KEY, START)
    assert hints.note_failure(KEY, RULE, "x", after(hours=5)).first_failed == after(hours=5)


def test_failures_add_up_across_messages() -> None:
    hints = Hints()
    hints.note_failure(KEY, RULE, "Connection refused", START)
    hints.note_failure(KEY, RULE, "Connection timed out", after(minutes=15))
    assert hints.rows[KEY] == Hint(
        Attempt(START, after(minutes=15), after(minutes=30)), "Connection timed out"
    )
    assert not has_run_out(hints, KEY)
    over = hints.note_failure(KEY, RULE, "x", after(hours=2, seconds=1))
    assert over.has_expired and has_run_out(hints, KEY)
    assert over.next_try == after(hours=2, minutes=15, seconds=1), "the last interval goes on"


def test_without_a_step_a_failure_is_final() -> None:
    hints = Hints()
    empty = read_rules([LogicalLine("* *", Place("exim.conf", 1))])[0]
    assert hints.note_failure(KEY, empty, "x", START).has_expired
    assert has_run_out(hints, KEY)


@pytest.mark.parametrize(
    "pause, first_failed, because",
    [
        (timedelta(days=7), START, "a week old: still counted, and the time is over"),
        (
            timedelta(days=7, seconds=1),
            after(days=7, seconds=1),
            "older (retry_data_expire): a new beginning",
        ),
    ],
)
def test_what_was_not_touched_for_a_week(pause: timedelta, first_failed: datetime, because: str) -> None:
    hints = Hints()
    hints.note_failure(KEY, RULE, "x", START)
    attempt = hints.note_failure(KEY, RULE, "x", START + pause)
    assert attempt.first_failed == first_failed, because
    assert attempt.has_expired is (first_failed == START), because


@pytest.mark.parametrize(
    "one, other, same, because",
    [
        (host_key("MX.B.test", "192.0.2.1"), KEY, True, "host names have no case"),
        (host_key("mx.b.test", "192.0.2.2"), KEY, False, "each address for itself"),
        (address_key(Mailbox("bob", "B.test")), "R:bob@b.test", True, "nor have domains"),
        (
            address_key(Mailbox("Bob", "b.test")),
            "R:bob@b.test",
            True,
            "nor have local parts here, as Exim has it",
        ),
        (address_key(Mailbox("a b", "b.test")), "R:a b@b.test", True, "without quotes"),
        (
            address_key(Mailbox("bob", "b.test"), "ann@a.test"),
            "R:bob@b.test:<ann@a.test>",
            True,
            "with the sender",
        ),
        (host_key("mx.b.test", "192.0.2.1", 587), f"{KEY}:587", True, "a port, if it is not the usual one"),
        (host_key("mx.b.test", "", 25), "T:mx.b.test", True, "retry_include_ip_address = false"),
        (mailbox_key(Mailbox("bob", "b.test")), "T:bob@b.test", True, "a mailbox here"),
        (mailbox_key(Mailbox("bob", "b.test"), of_domain=True), "T:b.test", True, "or all of a domain"),
    ],
)
def test_keys(one: str, other: str, same: bool, because: str) -> None:
    assert (one == other) is same, because


instants = st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1), timezones=st.just(timezone.utc))
rows = st.builds(
    Hint,
    st.builds(Attempt, instants, instants, instants, st.booleans()),
    st.text(),
    st.integers(-60, 200),
    st.integers(0, 70000),
)


@settings(deadline=None)
@given(st.dictionaries(st.text(), rows))
def test_they_come_back(table: dict[str, Hint]) -> None:
    hints = Hints()
    hints.rows = table
    assert Hints.from_text(hints.to_text()).rows == table


@pytest.mark.parametrize(
    "text, because",
    [
        ("", "a new file"),
        ("{", "cut off"),
        ("[1, 2]", "no table"),
        ("null", "no table"),
        ('{"T:x": null}', "no row"),
        ('{"T:x": ["a", "b", "c"]}', "a short row"),
        ('{"T:x": ["a", "b", "c", "d"]}', "no instants"),
        ('{"T:x": [1, 2, 3, "d"]}', "no instants"),
        (
            '{"T:x": ["2026-09-07T09:00:00", "2026-09-07T09:00:00", "2026-09-07T09:00:00", false, 0, 0, "d"]}',
            "instants without a zone",
        ),
        ("[" * 100_000, "deeper than anybody would write"),
    ],
)
def test_damaged_hints_are_dropped(text: str, because: str) -> None:
    assert Hints.from_text(text).rows == {}, because


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=6))
def test_any_row_is_read_or_dropped(row: object) -> None:
    hints = Hints.from_text(json.dumps({KEY: row}))
    is_due(hints, KEY, START)
    assert set(hints.rows) <= {KEY}
